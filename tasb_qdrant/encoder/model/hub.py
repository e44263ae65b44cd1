"""The Hugging Face hub: what a repository holds, its files, and what is cached of it.

huggingface_hub reads HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE itself; here, every request to the hub has a
timeout, and every refusal a named error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from tasb_qdrant.errors import HubUnreachableError, ModelNotFoundError
from tasb_qdrant.printable import DOWNLOADS, logger

HUB_TIMEOUT: Final = 8.0
"""Seconds to wait for the hub: including start-up and imports, an unreachable one is reported within 10."""

downloads: Final = logger(DOWNLOADS)
"""Tells of every download before it begins."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository holds at one commit. `revision` is what was asked for: a branch, tag or commit.

    `sizes` are in bytes, and `hashes` the sha256 of large files, each as far as the hub tells.
    """

    repo: str
    revision: str
    commit: str
    files: tuple[str, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE (or an equivalent) forbids asking the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def hub_address() -> str:
    """The hub's scheme and host; a user or password in HF_ENDPOINT is left out."""
    from huggingface_hub import constants

    parts = urlsplit(constants.ENDPOINT)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def list_repo(repo: str, *, revision: str | None, timeout: float) -> Listing:
    """What `repo` holds, or within `timeout` seconds an error that says why it can't be told.

    Raises ModelNotFoundError (no such repository or revision, no access), HubUnreachableError.
    """
    from huggingface_hub import HfApi

    def ask() -> Listing:
        info = HfApi().model_info(repo, revision=revision, timeout=timeout, files_metadata=True)
        every = info.siblings or ()
        return Listing(
            repo,
            revision or "main",
            info.sha or "",
            tuple(sibling.rfilename for sibling in every),
            {sibling.rfilename: sibling.size for sibling in every if sibling.size is not None},
            {sibling.rfilename: sibling.lfs.sha256 for sibling in every if sibling.lfs is not None},
        )

    with _named_errors(repo, revision):
        return _within(timeout, ask)


def fetch(listing: Listing, names: Sequence[str]) -> Path:
    """The cache folder that holds `names`; missing ones are downloaded, in this order, which is logged before.

    Downloads have no timeout. Raises HubUnreachableError if the hub stops answering.
    """
    from huggingface_hub import hf_hub_download

    folder = cached_folder(listing.repo, listing.commit)
    missing = [name for name in names if folder is None or not (folder / name).is_file()]
    if missing:
        _announce(listing, missing)
        with _named_errors(listing.repo, listing.revision), _no_bars():
            for name in names:
                path = Path(hf_hub_download(listing.repo, name, revision=listing.revision))
                folder = path.parents[name.count("/")]
                if folder.name != listing.commit:
                    raise HubUnreachableError(
                        f"{listing.repo} changed on the hub while it was being downloaded; run the command again"
                    )
    if folder is None:
        raise ModelNotFoundError(f"{listing.repo} holds no model files; correct --model")
    if "modules.json" not in listing.files:
        _remember_absence(listing, "modules.json")
    return folder


def _announce(listing: Listing, names: Sequence[str]) -> None:
    """Somebody may pay for what is loaded, or not know of it: a collection may have named the model."""
    known = [listing.sizes[name] for name in names if name in listing.sizes]
    size = f"{sum(known) / 1e6:,.1f} MB" if len(known) == len(names) else "the hub doesn't tell the size"
    files = f"{len(names)} file{'' if len(names) == 1 else 's'}"
    downloads.info("Downloading the model %s from %s: %s, %s.", listing.repo, hub_address(), files, size)


def cached_folder(repo: str, revision: str | None) -> Path | None:
    """Where `repo` is cached at `revision` (a branch means its commit at the last download)."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        for name in ("config.json", "modules.json"):
            path = try_to_load_from_cache(repo, name, revision=revision)
            if isinstance(path, str):
                return Path(path).parent
    except HFValidationError as error:
        raise ModelNotFoundError(f"{repo!r} is neither a folder nor a hub id; correct --model") from error
    return None


def known_absent(repo: str, revision: str | None, name: str) -> bool:
    """Whether the cache remembers that `repo` has no file `name`."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    return try_to_load_from_cache(repo, name, revision=revision) is _CACHED_NO_EXIST


def _remember_absence(listing: Listing, name: str) -> None:
    """Asking for a missing file makes huggingface_hub record its absence, for later calls without the hub."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    if known_absent(listing.repo, listing.commit, name):
        return
    with _named_errors(listing.repo, listing.revision):
        try:
            hf_hub_download(listing.repo, name, revision=listing.commit)
        except EntryNotFoundError:
            return


def _within(seconds: float, call: Callable[[], T]) -> T:
    """`call()`, or TimeoutError after `seconds`.

    Uses a thread, because nothing else limits a hanging name lookup, and httpx's timeouts limit each read rather than
    their sum. An abandoned thread ends with its socket's timeout, or with the process.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # passed on to the caller's thread, below
            errors.append(error)

    thread = threading.Thread(target=run, name="tasb-qdrant-hub", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if results:
        return results[0]
    raise TimeoutError(f"no answer within {seconds:g} s")


@contextmanager
def _named_errors(repo: str, revision: str | None) -> Iterator[None]:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = hub_address()
    try:
        yield
    except HFValidationError as error:
        raise ModelNotFoundError(f"{repo!r} is neither a folder nor a hub id; correct --model") from error
    except GatedRepoError as error:
        raise ModelNotFoundError(
            f"{repo} at {where} is gated: accept its terms there, and set HF_TOKEN to a token of that account"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"no folder {repo} here, and no model {repo} at {where}, or it is private; correct --model, or set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelNotFoundError(f"{repo} at {where} has no revision {revision!r}; correct --revision") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ModelNotFoundError(f"{where} refused access to {repo} (status {status}); correct HF_TOKEN") from error
        raise _unreachable(repo, where, f"it answered with status {status}") from error
    except (HubUnreachableError, ModelNotFoundError):
        raise
    except Exception as error:  # httpx's or httpx2's errors, by version; OSError; a page that isn't JSON
        lines = str(error).splitlines()
        raise _unreachable(repo, where, lines[0] if lines else type(error).__name__) from error


def _unreachable(repo: str, where: str, reason: str) -> HubUnreachableError:
    return HubUnreachableError(
        f"the model hub at {where} can't be reached to load {repo} ({reason}); "
        "give a model folder with --model DIR, set HF_ENDPOINT to a mirror, or go online"
    )


@contextmanager
def _no_bars() -> Iterator[None]:
    """Silence huggingface_hub's progress bars: stderr belongs to the program, not to a library."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    # With HF_HUB_DISABLE_PROGRESS_BARS set, the user has decided, and these functions would only warn.
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
