"""An encoder over several devices: what each worker loads, and the notes for the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tasb_qdrant.encoder.hardware import choose_hardware
from tasb_qdrant.encoder.model.config import read_config
from tasb_qdrant.encoder.model.files import ModelFiles
from tasb_qdrant.encoder.model.wishes import Wishes
from tasb_qdrant.encoder.tokenize.files import load_tokenization
from tasb_qdrant.encoder.workers.encoder import ParallelEncoder
from tasb_qdrant.encoder.workers.tasks import EncodingTask
from tasb_qdrant.encoder.workers.tokenizing import SharedTokenization, processes_for

_CPU_CHUNK_TOKENS: Final = 1024  # for each thread of a worker
_CUDA_CHUNK_TOKENS: Final = 65_536


def load_parallel(
    model: ModelFiles,
    *,
    devices: tuple[str, ...],
    precision: str,
    forward: str,
    batch_tokens: int | None,
    allow_pickle: bool,
    wishes: Wishes,
) -> ParallelEncoder:
    """An encoder for `model` with a worker process for each of `devices`.

    All use one precision, chosen for the first. Raises what load_encoder does, and WorkerError if a worker ends.
    """
    import torch

    source, layout = model.source, model.layout
    hardware = choose_hardware(devices[0], precision)
    on_cpu = devices[0] == "cpu"
    threads = max(1, torch.get_num_threads() // len(devices)) if on_cpu else 0
    tasks = [
        (
            device,
            EncodingTask(
                worker=number,
                folder=source.folder,
                device=device,
                precision=hardware.precision,
                forward=forward,
                batch_tokens=batch_tokens,
                allow_pickle=allow_pickle,
                threads=threads,
                wishes=wishes,
                name=source.id,
            ),
        )
        for number, device in enumerate(devices)
    ]
    notes = [*source.notes, *hardware.notes, said_of(devices)]
    return ParallelEncoder(
        tasks=tasks,
        tokenization=lambda: SharedTokenization(
            load_tokenization(layout, read_config(layout.transformer)),
            processes=0 if on_cpu else processes_for(len(devices)),
        ),
        notes=notes,
        model=source.id,
        revision=source.commit,
        smallest_chunk=_CPU_CHUNK_TOKENS * threads if on_cpu else _CUDA_CHUNK_TOKENS,
    )


def said_of(devices: Sequence[str]) -> str:
    """Where texts are encoded, in a sentence."""
    if len(devices) == 1:
        return f"A process of its own encodes on {devices[0]}."
    return f"{len(devices)} worker processes: {', '.join(devices)}."
