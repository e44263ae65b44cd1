"""Sources that lie elsewhere: they are named, and fetched by other programs."""

from __future__ import annotations

import re
from typing import Final

from tasb_qdrant.errors import SourceError

_URL: Final = re.compile(r"(https?|s3a?|gs|gcs|hf|abfss?|az|ftp|file):/+(.*)", re.IGNORECASE | re.DOTALL)
"""A Path of `s3://bucket` has one slash left."""

_COMMANDS: Final = {
    "http": "curl -L '{url}' | tasb-qdrant ingest - --format FORMAT",
    "s3": "aws s3 cp --recursive '{url}' FOLDER",
    "gs": "gcloud storage cp --recursive '{url}' FOLDER",
    "hf": "hf download REPOSITORY --repo-type dataset --local-dir FOLDER",
}


def refuse_remote(name: str) -> None:
    """Raises SourceError for a URL, with how to fetch what it names. In Python, tables can come from anywhere."""
    match = _URL.match(name)
    if match is None:
        return
    scheme = match[1].lower()
    url = f"{scheme}://{match[2]}" if scheme != "file" else f"file:///{match[2].lstrip(chr(47))}"
    kind = {"https": "http", "s3a": "s3", "gcs": "gs"}.get(scheme, scheme)
    if kind == "file":
        raise SourceError(f"a URL; name the file by its path: /{match[2].lstrip('/')}", source=url)
    command = _COMMANDS.get(kind)
    fetch = f"fetch it first ({command.format(url=url)})" if command else "fetch it first"
    raise SourceError(
        f"a URL, and files are read from this machine only, so that a run can be resumed and verified; {fetch}, or in "
        "Python pass ingest() the table that pyarrow, pandas or datasets reads from it",
        source=url,
    )
