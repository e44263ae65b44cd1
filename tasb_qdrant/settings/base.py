"""What all settings share: they are frozen, and report what is wrong with them in one line."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)

from tasb_qdrant.errors import SettingsError


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    def __init__(self, **values: Any) -> None:
        """Raises SettingsError, a single line, in place of pydantic's multi-line error."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(first_problem(error)) from None


def first_problem(error: ValidationError) -> str:
    """pydantic's first problem in one line: where, what is wrong, and what was found unless it may be secret."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if not place:
        return message
    # A misspelt name may be the API key's; messages of our own validators already show the value if they may.
    hidden = problem["type"] in ("extra_forbidden", "value_error", "missing") or place in ("api_key", "url")
    found = problem["input"]
    if hidden or not isinstance(found, str | int | float):
        return f"{place}: {message}"
    return f"{place}: {message}, got {repr(found)[:100]}"
