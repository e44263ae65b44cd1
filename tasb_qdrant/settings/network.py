"""The variables that HTTP clients read themselves: proxies and certificates. What is wrong with them is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tasb_qdrant.errors import SettingsError, TasbQdrantError
from tasb_qdrant.settings.environment import network_names

_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@contextmanager
def client_for(where: str) -> Iterator[None]:
    """While a client for `where` is made: what it can't make of the environment becomes a SettingsError.

    A proxy may have a password, so nothing of its value is repeated.
    """
    try:
        yield
    except TasbQdrantError:
        raise
    except ImportError:
        raise SettingsError(
            f"{where}: {_set(_PROXIES)} asks for a SOCKS proxy, which takes one more package: pip install "
            "'httpx[socks]', or unset it"
        ) from None
    except OSError as error:  # an SSLError is one, too
        raise SettingsError(
            f"{where}: the certificates of {_set(_CERTIFICATES)} can't be read ({error.strerror or error}); correct "
            "or unset it"
        ) from None
    except Exception as error:  # httpx has no common class for these
        raise SettingsError(
            f"{where}: {_set(_PROXIES)} can't be used ({type(error).__name__}): a proxy is like http://host:3128; "
            "correct or unset it"
        ) from None


def _set(names: tuple[str, ...]) -> str:
    """Those of the variables that are set."""
    found = [name for name in network_names() if name in names]
    return " and ".join(found) or "the environment"
