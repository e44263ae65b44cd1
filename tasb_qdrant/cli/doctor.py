"""`tasb-qdrant doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tasb_qdrant.cli.options import json_option, store_options

if TYPE_CHECKING:
    from tasb_qdrant.settings import StoreOptions


@click.command("doctor")
@store_options
@json_option
def doctor_command(*, store: StoreOptions, as_json: bool) -> int:
    """Check versions, device, stores, hub and model, and say what to do if something is wrong.

    The exit status is 1 if something that a run needs is missing.

    \b
    Examples:
      tasb-qdrant doctor
      tasb-qdrant doctor --url http://localhost:6333 --json
    """
    from tasb_qdrant.cli.main import DONE, NAMED_ERROR
    from tasb_qdrant.cli.render import print_checks, print_json
    from tasb_qdrant.doctor import diagnose
    from tasb_qdrant.settings import store_settings

    checks = diagnose(store_settings(**store))
    if as_json:
        print_json([check.to_dict() for check in checks])
    else:
        print_checks(checks)
    return NAMED_ERROR if any(check.status == "failed" for check in checks) else DONE
