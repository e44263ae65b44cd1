"""Which version of the package this is."""

from __future__ import annotations


def package_version() -> str:
    """That of tasb-qdrant as it is installed, or "unknown"."""
    # Here and not above: reading what is installed takes longer than importing the package.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tasb-qdrant")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
