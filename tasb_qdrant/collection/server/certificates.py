"""Which certificates prove a server, and which one proves the client to it: for httpx and for gRPC."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings import StoreSettings, usual_authorities


@dataclass(frozen=True, slots=True)
class Certificates:
    """What secures a connection; all None: the authorities that everyone trusts, and no certificate of the client's.

    `roots` are the authorities' certificates and `chain` and `key` the client's own and its key, each PEM.
    """

    roots: bytes | None = None
    chain: bytes | None = None
    key: bytes | None = None

    @classmethod
    def of(cls, settings: StoreSettings) -> Certificates:
        """As the settings say, else, for the authorities, `$SSL_CERT_FILE` and `$SSL_CERT_DIR`.

        Raises SettingsError for a file that is missing or isn't what it should be.
        """
        chain = None if settings.client_cert is None else _read(settings.client_cert, "--client-cert")
        key = chain if settings.client_key is None else _read(settings.client_key, "--client-key")
        return cls(_roots(settings), chain, key)

    def for_grpc(self) -> dict[str, bytes | None]:
        """The options of `grpc.ssl_channel_credentials`."""
        return {"root_certificates": self.roots, "private_key": self.key, "certificate_chain": self.chain}


def ssl_context(settings: StoreSettings) -> ssl.SSLContext:
    """The same for httpx. Raises SettingsError for what is no certificate or key, or for two that don't fit."""
    # Without roots of its own: those that httpx brings along, as qdrant-client takes them.
    roots = Certificates.of(settings).roots
    if roots is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        named = "$SSL_CERT_FILE" if settings.ca_file is None else f"--ca-file {settings.ca_file}"
        _load(named, lambda: context.load_verify_locations(cadata=_text(roots)))
    if settings.client_cert is not None:
        key = settings.client_key
        _load(
            f"--client-cert {settings.client_cert}" + ("" if key is None else f" with --client-key {key}"),
            # A password would be asked for on the terminal.
            lambda: context.load_cert_chain(str(settings.client_cert), None if key is None else str(key), password=""),
        )
    return context


def _roots(settings: StoreSettings) -> bytes | None:
    if settings.ca_file is not None:
        return _read(settings.ca_file, "--ca-file")
    file, folder = usual_authorities()
    parts = [] if file is None else [_usual(file, settings.location)]
    if folder is not None:
        found = [_read(path, "$SSL_CERT_DIR") for path in _listed(folder) if path.is_file()]
        parts += [part for part in found if _BEGIN in part]
    return b"\n".join(parts) or None


_BEGIN = b"-----BEGIN CERTIFICATE-----"


def _usual(file: Path, where: str) -> bytes:
    """What $SSL_CERT_FILE names."""
    try:
        found = file.read_bytes()
        why = "" if _BEGIN in found else "there is none in it"
    except OSError as error:
        found, why = b"", error.strerror or str(error)
    if why:
        raise SettingsError(
            f"{where}: the certificates of $SSL_CERT_FILE ({file}) can't be read ({why}); correct or unset it"
        )
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise SettingsError(
            f"$SSL_CERT_DIR names {folder}, which can't be read ({error.strerror}); correct it"
        ) from None


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{option} {path} can't be read ({error.strerror}); name a PEM file that is there"
        ) from None


def _text(roots: bytes) -> str:
    return roots.decode("ascii", "ignore")  # what isn't ASCII stands between the certificates


def _load(what: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (ssl.SSLError, OSError, ValueError) as error:
        said = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"{what} can't be used ({said}); it must be a PEM file, a client's key that fits its certificate "
            "and has no password"
        ) from None
