"""--payload-model: a pydantic model of the user's, named as module:Class."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import BaseModel


def model_named(name: str | None) -> type[BaseModel] | None:
    """The model, imported. Raises UsageError if there is none."""
    if name is None:
        return None
    from pydantic import BaseModel

    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise click.UsageError(f"--payload-model takes MODULE:CLASS, such as articles:Article; got {name!r}")
    if os.getcwd() not in sys.path:
        # `python -m` has it first; an unpacked corpus may have a file torch.py, and nothing in it is to be run unasked.
        sys.path.append(os.getcwd())
    try:
        found = getattr(import_module(module_name), attribute, None)
    except ImportError as error:
        raise click.UsageError(f"--payload-model {name}: the module can't be imported ({error})") from None
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise click.UsageError(f"--payload-model {name}: there is no pydantic model {attribute!r} in {module_name!r}")
    return found
