"""What is read from the environment, each time it is needed and never at import."""

from __future__ import annotations

from pathlib import Path

from pydantic import (
    SecretStr,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasb_qdrant.errors import SettingsError


class QdrantEnvironment(BaseSettings):
    """`QDRANT_URL`, `QDRANT_API_KEY`, `QDRANT_CA_FILE`, `QDRANT_CLIENT_CERT` and `QDRANT_CLIENT_KEY`, read once per
    call that needs them. An empty one is as good as none."""

    model_config = SettingsConfigDict(env_prefix="QDRANT_", extra="ignore", env_ignore_empty=True)

    url: str | None = None
    api_key: SecretStr | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


class _Authorities(BaseSettings):
    """`SSL_CERT_FILE` and `SSL_CERT_DIR`, which OpenSSL's and most other programs read."""

    model_config = SettingsConfigDict(env_prefix="SSL_CERT_", extra="ignore", env_ignore_empty=True)

    file: Path | None = None
    dir: Path | None = None


def usual_authorities() -> tuple[Path | None, Path | None]:
    """The file, and the folder, of the certificates that prove a server, where the environment names them."""
    named = _Authorities()
    return named.file, named.dir


class _Defaults(BaseSettings):
    """`TASB_QDRANT_…`: defaults for options of the command line, which reads them itself."""

    model_config = SettingsConfigDict(env_prefix="TASB_QDRANT_", extra="ignore")

    model: str | None = None
    collection: str | None = None


def environment_names() -> tuple[str, ...]:
    """Which of the variables that stand for options are set; their values may be secret."""
    found = [(QdrantEnvironment(), "QDRANT_"), (_Defaults(), "TASB_QDRANT_")]
    return tuple(f"{prefix}{name}".upper() for values, prefix in found for name, value in values if value)


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


class _Aws(BaseSettings):
    """`AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL`, which pyarrow doesn't read as Amazon's own tools do."""

    model_config = SettingsConfigDict(env_prefix="AWS_", extra="ignore")

    endpoint_url_s3: str = ""
    endpoint_url: str = ""


def s3_endpoint() -> str:
    """The URL of another object store that speaks S3, or ""."""
    named = _Aws()
    return (named.endpoint_url_s3 or named.endpoint_url).rstrip("/")


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
