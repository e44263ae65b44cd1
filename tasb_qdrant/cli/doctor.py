"""`tasb-qdrant doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tasb_qdrant.cli.defaults import read_file
from tasb_qdrant.cli.options import encoder_options, json_option, store_options

if TYPE_CHECKING:
    from tasb_qdrant.encoder.options import EncoderOptions
    from tasb_qdrant.settings import StoreOptions


@click.command("doctor")
@store_options
@encoder_options()
@json_option
def doctor_command(*, store: StoreOptions, encoder: EncoderOptions, as_json: bool) -> int:
    """Check versions, settings, device, stores, hub and model, and say what to do if something is wrong.

    With --model, that model is found, loaded, and makes a vector.

    The exit status is 1 if something that a run needs is missing.

    \b
    Examples:
      tasb-qdrant doctor
      tasb-qdrant doctor --url http://localhost:6333 --json
      tasb-qdrant doctor --model ./my-model
    """
    from tasb_qdrant.cli.failures import DONE, NAMED_ERROR
    from tasb_qdrant.cli.render import print_checks, print_json
    from tasb_qdrant.doctor import diagnose
    from tasb_qdrant.encoder.options import EncoderChoice
    from tasb_qdrant.settings import store_settings

    checks = diagnose(
        store_settings(**store),
        encoder=EncoderChoice(**encoder),
        settings=read_file(click.get_current_context()),
    )
    if as_json:
        print_json({"checks": [check.to_dict() for check in checks]})
    else:
        print_checks(checks)
    return NAMED_ERROR if any(check.status == "failed" for check in checks) else DONE
