"""Small questions about a server and its collections, each answered within so many seconds."""

from __future__ import annotations

from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest

from tasb_qdrant.collection.server.whole import within


class Questions:
    """Asked through a client over gRPC, or REST. qdrant-client's own limits are whole seconds, and the same for every
    call. Every method raises what `failure.CLIENT_ERRORS` lists."""

    def __init__(self, client: QdrantClient, *, over_grpc: bool) -> None:
        self._client = client
        self._over_grpc = over_grpc

    def names(self, seconds: float) -> list[str]:
        """The collections on the server."""
        if self._over_grpc:
            listed = self._client.grpc_collections.List(messages.ListCollectionsRequest(), timeout=seconds)
            return [described.name for described in listed.collections]
        with within(seconds):
            return [described.name for described in self._client.get_collections().collections]

    def exists(self, name: str, seconds: float) -> bool:
        """Whether there is such a collection."""
        if self._over_grpc:
            asked = messages.CollectionExistsRequest(collection_name=name)
            return bool(self._client.grpc_collections.CollectionExists(asked, timeout=seconds).result.exists)
        with within(seconds):
            return self._client.collection_exists(name)

    def describe(self, name: str, seconds: float) -> models.CollectionInfo:
        """What the server says of the collection."""
        if self._over_grpc:
            asked = messages.GetCollectionInfoRequest(collection_name=name)
            answer = self._client.grpc_collections.Get(asked, timeout=seconds)
            return GrpcToRest.convert_collection_info(answer.result)
        with within(seconds):
            return self._client.get_collection(name)

    def cores(self, seconds: float) -> int | None:
        """The cores of the machine, as the server's telemetry has it; None if that says nothing."""
        with within(seconds):
            # As it is: qdrant-client's model of it lacks what older servers leave out.
            told: Any = self._client.http.client.request(
                type_=Any, method="GET", url="/telemetry", params={"details_level": "1"}
            )
        try:
            found = told["result"]["app"]["system"]["cores"]
        except (KeyError, TypeError):
            return None
        return found if isinstance(found, int) and found > 0 else None

    def aliases(self, seconds: float) -> dict[str, str]:
        """Each alias with the collection that it stands for."""
        if self._over_grpc:
            listed = self._client.grpc_collections.ListAliases(messages.ListAliasesRequest(), timeout=seconds)
            return {each.alias_name: each.collection_name for each in listed.aliases}
        with within(seconds):
            return {each.alias_name: each.collection_name for each in self._client.get_aliases().aliases}
