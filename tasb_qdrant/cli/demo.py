"""`tasb-qdrant demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tasb_qdrant.cli.options import json_option, store_options

if TYPE_CHECKING:
    from tasb_qdrant.settings import StoreOptions


@click.command("demo")
@store_options
@json_option
def demo_command(*, store: StoreOptions, as_json: bool) -> int:
    """Put the bundled corpus of 200 passages into a collection, and ask it four questions.

    \b
    Example:
      tasb-qdrant demo
    """
    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.logs import is_quiet
    from tasb_qdrant.cli.render import note, print_hits, print_json, print_report
    from tasb_qdrant.cli.screen import stdout
    from tasb_qdrant.demo import run_demo
    from tasb_qdrant.ingest.display import ProgressDisplay
    from tasb_qdrant.settings import store_settings

    settings = store_settings(**store)
    with ProgressDisplay(quiet=is_quiet()) as display:
        result = run_demo(settings, on_progress=display)
    if result.model_note:
        note(result.model_note)
    if as_json:
        print_json(result.to_dict())
        return DONE
    print_report(result.report)
    for search in result.searches:
        stdout().rule()
        where = f"   where {search.where}" if search.where else ""
        stdout().print(f"{search.query}{where}", style="bold", markup=False)
        print_hits(search.hits)
    stdout().rule()
    location = f"--url {settings.url}" if settings.url else f"--path {settings.path}"
    note(f'Ask your own: tasb-qdrant search "…" --collection {result.report.collection} {location}')
    return DONE
