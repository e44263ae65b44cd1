"""`tasb-qdrant search`."""

from __future__ import annotations

import warnings

import click

from tasb_qdrant.cli.options import (
    ModelOptions,
    StoreOptions,
    collection_option,
    json_option,
    model_options,
    store_options,
)


@click.command("search")
@click.argument("query")
@collection_option
@store_options
@model_options(default=None)
@click.option("--filter", "where", metavar="EXPR", help='Such as: year >= 2020 and lang in ["en", "de"]')
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many hits.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out the first so many.")
@click.option("--score-threshold", type=float, help="Leave out hits with a lower score.")
@click.option("--exact", is_flag=True, help="Compare with every vector instead of using the index.")
@click.option("--hnsw-ef", type=click.IntRange(min=1), help="How thoroughly the index is searched.")
@json_option
def search_command(
    *,
    query: str,
    collection: str,
    store: StoreOptions,
    encoder: ModelOptions,
    where: str | None,
    limit: int,
    offset: int,
    score_threshold: float | None,
    exact: bool,
    hnsw_ef: int | None,
    as_json: bool,
) -> int:
    """Find the passages nearest to QUERY.

    The encoder is the one that made the collection. Filters are explained in docs/filters.md.

    \b
    Examples:
      tasb-qdrant search "how do bees find food" --collection docs
      tasb-qdrant search "solar power" --collection docs --filter 'year >= 2020 and not lang = "de"' --limit 3
      tasb-qdrant search "tea" --collection docs --json
    """
    from tasb_qdrant.cli.main import DONE
    from tasb_qdrant.cli.render import note, print_hits, print_json, warn
    from tasb_qdrant.filters import parse_filter
    from tasb_qdrant.search import Searcher
    from tasb_qdrant.search.where import FilterWarning

    if where is not None:
        parse_filter(where)  # a slip in it shows before the encoder is loaded, which takes seconds
    with Searcher(
        collection,
        url=store.url,
        path=store.path,
        api_key=store.api_key,
        transport=store.transport,
        grpc_port=store.grpc_port,
        timeout=store.timeout,
        allow_plain_http_key=store.allow_plain_http_key,
        model=encoder.model,
        revision=encoder.revision,
        allow_pickle=encoder.allow_pickle,
        device=encoder.device,
        precision=encoder.precision,
    ) as searcher:
        for sentence in searcher.notes:
            note(sentence)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", FilterWarning)
            hits = searcher.search(
                query,
                limit=limit,
                offset=offset,
                where=where,
                score_threshold=score_threshold,
                exact=exact,
                hnsw_ef=hnsw_ef,
            )
    for warning in caught:
        warn(str(warning.message))
    if as_json:
        print_json([hit.to_dict() for hit in hits])
    else:
        print_hits(hits)
    return DONE
