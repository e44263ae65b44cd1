"""Small frozen settings objects. Nothing outside this package reads the environment."""

from tasb_qdrant.settings.base import check_whole_number, first_problem
from tasb_qdrant.settings.bm25 import DEFAULT_AVG_LEN, Bm25Language, Bm25Settings
from tasb_qdrant.settings.collection import (
    CollectionSettings,
    IndexType,
    PayloadKeys,
    Quantization,
    VectorType,
    parse_indexes,
)
from tasb_qdrant.settings.environment import (
    environment_names,
    log_level,
    s3_endpoint,
    user_state_folder,
    usual_authorities,
    waiting_is_chosen,
)
from tasb_qdrant.settings.split import LEAST_TOKENS, SplitSettings
from tasb_qdrant.settings.store import (
    DEFAULT_PORT,
    DEFAULT_STORE,
    MAX_SECONDS,
    READ_SECONDS,
    ReadingStoreOptions,
    StoreOptions,
    StoreSettings,
    Transport,
    store_settings,
)

__all__ = [
    "Bm25Language",
    "Bm25Settings",
    "CollectionSettings",
    "DEFAULT_AVG_LEN",
    "DEFAULT_PORT",
    "DEFAULT_STORE",
    "IndexType",
    "LEAST_TOKENS",
    "MAX_SECONDS",
    "PayloadKeys",
    "Quantization",
    "READ_SECONDS",
    "ReadingStoreOptions",
    "SplitSettings",
    "StoreOptions",
    "StoreSettings",
    "Transport",
    "VectorType",
    "check_whole_number",
    "environment_names",
    "first_problem",
    "log_level",
    "parse_indexes",
    "s3_endpoint",
    "store_settings",
    "user_state_folder",
    "usual_authorities",
    "waiting_is_chosen",
]
