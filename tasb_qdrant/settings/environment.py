"""What is read from the environment, each time it is needed and never at import."""

from __future__ import annotations

from pathlib import Path

from pydantic import (
    SecretStr,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasb_qdrant.errors import SettingsError


class QdrantEnvironment(BaseSettings):
    """`QDRANT_URL` and `QDRANT_API_KEY`, read once per call that needs them."""

    model_config = SettingsConfigDict(env_prefix="QDRANT_", extra="ignore")

    url: str | None = None
    api_key: SecretStr | None = None


class _Program(BaseSettings):
    """`TASB_QDRANT_LOG`."""

    model_config = SettingsConfigDict(env_prefix="TASB_QDRANT_", extra="ignore")

    log: str = ""


def log_level() -> str:
    """From which level on the program logs, as the environment names it; "" if it doesn't."""
    return _Program().log


class _OpenMP(BaseSettings):
    """What GNU OpenMP reads when torch is loaded."""

    model_config = SettingsConfigDict(extra="ignore")

    gomp_spincount: str = ""
    omp_wait_policy: str = ""


class _UserFolders(BaseSettings):
    """`XDG_STATE_HOME`."""

    model_config = SettingsConfigDict(env_prefix="XDG_", extra="ignore")

    state_home: Path | None = None


def user_state_folder() -> Path:
    """The folder for the state that later runs resume from. It may not exist yet. Raises SettingsError."""
    named = _UserFolders().state_home
    if named is None or not named.is_absolute():  # the XDG specification says to ignore a relative one
        try:
            named = Path.home() / ".local" / "state"
        except RuntimeError:
            raise SettingsError(
                "this user has no home folder to keep the state of a run in; name a folder with --state"
            ) from None
    return named / "tasb-qdrant"


def waiting_is_chosen() -> bool:
    """Whether the environment sets how OpenMP threads wait for work."""
    chosen = _OpenMP()
    return bool(chosen.gomp_spincount or chosen.omp_wait_policy)
