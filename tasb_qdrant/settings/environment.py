"""What is read from the environment, each time it is needed."""

from __future__ import annotations

from pathlib import Path

from pydantic import (
    SecretStr,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasb_qdrant.errors import SettingsError


class QdrantEnvironment(BaseSettings):
    """`QDRANT_URL` and `QDRANT_API_KEY`. Read once for each call that needs them, never at import."""

    model_config = SettingsConfigDict(env_prefix="QDRANT_", extra="ignore")

    url: str | None = None
    api_key: SecretStr | None = None


class _OpenMP(BaseSettings):
    """What GNU OpenMP reads when torch is loaded."""

    model_config = SettingsConfigDict(extra="ignore")

    gomp_spincount: str = ""
    omp_wait_policy: str = ""


class _UserFolders(BaseSettings):
    """`XDG_STATE_HOME`, read when it is needed."""

    model_config = SettingsConfigDict(env_prefix="XDG_", extra="ignore")

    state_home: Path | None = None


def user_state_folder() -> Path:
    """The folder for what a later run of this program goes on from. It may not be there. Raises SettingsError."""
    named = _UserFolders().state_home
    if named is None or not named.is_absolute():  # a relative one is to be ignored, says the specification
        try:
            named = Path.home() / ".local" / "state"
        except RuntimeError:
            raise SettingsError(
                "this user has no home folder, so that there is none for the state of a run; name one with --state"
            ) from None
    return named / "tasb-qdrant"


def waiting_is_chosen() -> bool:
    """Whether the environment says how OpenMP's threads wait for work."""
    chosen = _OpenMP()
    return bool(chosen.gomp_spincount or chosen.omp_wait_policy)
