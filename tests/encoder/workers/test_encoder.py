"""An encoder over several devices gives what one gives, in order, and ends with the process that has it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.encoder.workers import tokenizing
from tasb_qdrant.encoder.workers.encoder import ParallelEncoder
from tasb_qdrant.encoder.workers.load import said_of
from tasb_qdrant.encoder.workers.tasks import Chunk, EncodingTask
from tasb_qdrant.encoder.workers.tokenizing import SharedTokenization, processes_for
from tasb_qdrant.errors import EncodingError, InvalidInputError, ModelError, ModelNotFoundError
from tests.encoder.workers.worker_tasks import CONTRACT, DIM, NOTED, STUCK, BagTask, around, bags, minilm_tokenization
from tests.processes.test_pool import watched
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
SICK_WORD = "zebra"
TEXTS = [f"passage {'word ' * (n % 31)}number {n}" for n in range(300)]


@pytest.fixture(scope="module")
def tokenization() -> Tokenization:
    return minilm_tokenization()


@pytest.fixture(scope="module")
def bagging(tokenization: Tokenization) -> Iterator[dict[int, ParallelEncoder]]:
    """Encoders without a model, by their number of workers. To be left alive."""
    with ExitStack() as stack:
        yield {
            count: stack.enter_context(closing(around(*map(BagTask, range(count)), tokenization=tokenization)))
            for count in (1, 2, 3)
        }


def tokens_of(texts: Sequence[Sequence[int]]) -> TokenBatch:
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return TokenBatch(np.array([token for text in texts for token in text], dtype=np.int32), offsets, 0)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(0, 20_000), min_size=1, max_size=40), max_size=60),
    workers=st.integers(1, 3),
    smallest_chunk=st.integers(1, 500),
)
def test_vectors_are_in_input_order_whatever_the_workers_and_chunks(
    bagging: dict[int, ParallelEncoder], texts: list[list[int]], workers: int, smallest_chunk: int
) -> None:
    encoder = bagging[workers]
    encoder._smallest = smallest_chunk
    done: list[int] = []
    tokens = tokens_of(texts)
    vectors = encoder.encode_tokens(tokens, on_progress=done.append)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_array_equal(vectors, bags(tokens))
    assert sum(done) == len(texts)


def test_a_large_call_is_cut_so_that_all_workers_end_together(bagging: dict[int, ParallelEncoder]) -> None:
    encoder = bagging[2]
    encoder._smallest = 100
    lengths = [len(rows) for rows in encoder._chunks(tokens_of([[1] * 10] * 160))]
    assert lengths == [20] * 8  # 1600 tokens, in 4 rounds for 2
    assert [len(rows) for rows in encoder._chunks(tokens_of([[1] * 10] * 12))] == [10, 2]
    assert {len(rows) for rows in encoder._chunks(tokens_of([[1] * 10] * 4000))} == {40}


def test_callers_in_several_threads_get_their_own_vectors(bagging: dict[int, ParallelEncoder]) -> None:
    encoder = bagging[3]
    encoder._smallest = 50
    calls = [[f"{text} of {n}" for text in TEXTS[: 40 * n]] for n in range(6)]
    with ThreadPoolExecutor(12) as threads:
        bulk = list(threads.map(encoder.encode_passages, calls))
        queries = list(threads.map(encoder.encode_queries, [["one", f"{n}"] for n in range(30)]))
    for texts, vectors in zip(calls, bulk, strict=True):
        np.testing.assert_array_equal(vectors, bags(encoder.tokenize_passages(texts)))
    for n, vectors in enumerate(queries):
        np.testing.assert_array_equal(vectors, bags(encoder.tokenize_passages(["one", f"{n}"])))


def test_the_contract_is_the_workers_under_the_models_own_name(bagging: dict[int, ParallelEncoder]) -> None:
    contract = bagging[2].contract
    assert (contract.model, contract.revision) == ("name", "1")
    assert not contract.differences(CONTRACT)


def test_what_a_worker_notes_on_the_way_is_told_once(tokenization: Tokenization) -> None:
    with closing(around(BagTask(0), BagTask(1), tokenization=tokenization)) as encoder:
        assert list(encoder.notes) == ["First.", "Loaded."]
        encoder._smallest = 1
        encoder.encode_tokens(tokens_of([[NOTED]] * 20))
        assert list(encoder.notes) == ["First.", "Loaded.", "Worker 0 noted it.", "Worker 1 noted it."]


def test_workers_that_loaded_different_models_are_refused(tokenization: Tokenization) -> None:
    with pytest.raises(ModelError, match="files changed while the worker processes loaded them"):
        around(BagTask(0), BagTask(1, weights="1" * 64), tokenization=tokenization)


def test_a_worker_killed_in_the_middle_of_a_call_is_an_error_with_its_cause(tokenization: Tokenization) -> None:
    with closing(around(BagTask(0), BagTask(1), tokenization=tokenization, smallest_chunk=1)) as encoder:
        # One worker is stuck, and the other works on until it is killed.
        texts = [[STUCK] * 2, *[[n] for n in range(500)]]
        kills = [encoder.pids[1]]

        def kill_once(_: int) -> None:
            if kills:
                os.kill(kills.pop(), signal.SIGKILL)

        with watched(encoder.pids) as all_end:
            with pytest.raises(ModelError, match=r"the worker on cpu died \(killed by signal 9, SIGKILL\)"):
                encoder.encode_tokens(tokens_of(texts), on_progress=kill_once)
            all_end()
        with pytest.raises(ModelError, match="killed by signal 9"):
            encoder.encode_queries(["and later"])


def test_the_workers_end_with_their_encoder(tokenization: Tokenization) -> None:
    encoder = around(BagTask(0), tokenization=tokenization)
    with watched(encoder.pids) as all_end:
        del encoder
        gc.collect()
        all_end()


def test_many_texts_are_tokenised_in_several_processes_with_the_same_ids(tokenization: Tokenization) -> None:
    shared = SharedTokenization(tokenization, processes=2, size=16)
    with closing(shared):
        texts = [*TEXTS, "Ünïcödé [SEP] 中文", "", "long " * 1000]
        for count in (0, 1, 31, 32, 33, len(texts)):
            expected = tokenization(texts[-count:], prompt="query: ")
            found = shared(texts[-count:], prompt="query: ")
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.offsets, expected.offsets)
            assert found.truncated == expected.truncated
        with pytest.raises(InvalidInputError, match="text 50 has half of a surrogate pair"):
            shared([*TEXTS[:50], "\ud800"])
    with pytest.raises(ModelError, match=r"ended by close\(\)"):
        shared(TEXTS)


def test_tokens_come_in_parts_as_they_get_done_the_first_of_each_process_a_small_one(
    tokenization: Tokenization,
) -> None:
    with closing(SharedTokenization(tokenization, processes=2, size=64)) as shared:
        while not shared._started().is_open:
            shared(TEXTS)
        parts = list(shared.parts(TEXTS, prompt="query: "))
        sizes = [len(part.tokens) for part in sorted(parts, key=lambda part: part.first)]
        assert sizes == [8, 8, 16, 16, 32, 32, 64, 64, 60]
        for part in parts:
            expected = tokenization(TEXTS[part.first : part.first + len(part.tokens)], prompt="query: ")
            np.testing.assert_array_equal(part.tokens.ids, expected.ids)
        few = list(shared.parts(TEXTS[:63]))
        assert [(part.first, len(part.tokens)) for part in few] == [(0, 63)]
        with pytest.raises(InvalidInputError, match="put it into a list"):
            shared.parts("a single text, and a long one: " * 10)


def test_nobody_waits_for_tokenising_processes_to_start(tokenization: Tokenization) -> None:
    with closing(SharedTokenization(tokenization, processes=2, size=64)) as shared:
        parts = shared.parts(TEXTS)
        first = next(parts)
        assert not shared._started().is_open, "no process can have started as soon"
        assert (first.first, len(first.tokens)) == (0, 8)
        found = sorted([first, *parts], key=lambda part: part.first)
        expected = tokenization(TEXTS)
        np.testing.assert_array_equal(TokenBatch.joined([part.tokens for part in found]).ids, expected.ids)


def test_tokenising_processes_end_with_who_started_them(tokenization: Tokenization) -> None:
    shared = SharedTokenization(tokenization, processes=2, size=64)
    shared(TEXTS)
    pool = shared._pool
    assert pool is not None
    with watched(pool.pids) as all_end:
        del shared
        gc.collect()
        all_end()


def test_tokenising_processes_leave_cores_to_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, gpus, processes in [(2, 2, 0), (4, 2, 0), (5, 2, 2), (16, 1, 3), (16, 8, 7), (64, 8, 24)]:
        monkeypatch.setattr(tokenizing, "cores", lambda cores=cores: cores)
        assert processes_for(gpus) == processes


def test_where_texts_are_encoded_is_said() -> None:
    assert said_of(["cuda:0"]) == "A process of its own encodes on cuda:0."
    assert said_of(["cuda:0", "cuda:1"]) == "2 worker processes: cuda:0, cuda:1."


@pytest.fixture(scope="module")
def sick(tiny_original: Path, tmp_path_factory: pytest.TempPathFactory, tokenization: Tokenization) -> Path:
    """The tiny model, in which one word makes a vector that is no number."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path_factory.mktemp("sick")
    for path in tiny_original.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    (name,) = (name for name in tensors if name.endswith("word_embeddings.weight"))
    tensors[name][tokenization([SICK_WORD])[0][1]] = np.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def alone(sick: Path) -> Encoder:
    return load_encoder(sick, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def several(sick: Path) -> Iterator[Encoder]:
    encoder = load_encoder(sick, device="cpu,cpu", precision="fp32")
    assert isinstance(encoder, ParallelEncoder)
    with closing(encoder):
        yield encoder


def test_a_list_of_devices_gives_the_vectors_of_one(alone: Encoder, several: Encoder) -> None:
    np.testing.assert_allclose(several.encode_passages(TEXTS), alone.encode_passages(TEXTS), rtol=0, atol=1e-5)
    np.testing.assert_allclose(several.encode_queries(["a b"]), alone.encode_queries(["a b"]), rtol=0, atol=1e-5)
    assert several.encode_passages([]).shape == (0, alone.contract.dim)
    with pytest.raises(InvalidInputError, match="query 1 is empty"):
        several.encode_queries(["one", " "])


def test_a_list_of_devices_is_one_encoder_to_the_person(alone: Encoder, several: Encoder) -> None:
    assert several.device == "cpu,cpu"
    assert several.contract == alone.contract
    assert several.notes == ("2 worker processes: cpu, cpu.", *alone.notes)


def task_for(folder: Path) -> EncodingTask:
    return EncodingTask(
        worker=0,
        folder=folder,
        device="cpu",
        precision="fp32",
        forward="reference",
        batch_tokens=None,
        allow_pickle=False,
        threads=0,
    )


def test_a_text_that_can_not_be_encoded_is_named_by_its_place_in_the_call(
    sick: Path, tokenization: Tokenization
) -> None:
    _, encode = task_for(sick).open()
    tokens = tokenization(["text 1", SICK_WORD, "text one"])
    with pytest.raises(EncodingError, match="the vector of text 211 is not finite") as caught:
        encode(Chunk(tokens, np.array([17, 211, 1], dtype=np.int64)))
    assert caught.value.index == 211


def test_a_text_that_can_not_be_encoded_is_an_error_of_its_call_alone(several: Encoder) -> None:
    with pytest.raises(EncodingError, match=r"the vector of text \d+ is not finite") as caught:
        several.encode_passages([*TEXTS, SICK_WORD])
    assert f"text {caught.value.index} " in str(caught.value)
    assert several.encode_passages(TEXTS[:3]).shape == (3, 32)


def test_a_model_that_is_gone_when_the_workers_load_it_is_named(tokenization: Tokenization, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no folder .*gone"):
        around(task_for(tmp_path / "gone"), tokenization=tokenization)


SCRIPT = """
import sys
from tests.encoder.workers.worker_tasks import BagTask, around, minilm_tokenization

encoder = around(BagTask(0), BagTask(1), tokenization=minilm_tokenization())
print(*encoder.encode_passages(["a", "b c"]).shape, *encoder.pids, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["return", signal.SIGKILL, signal.SIGINT])
def test_the_workers_end_with_their_program_however_it_ends(tmp_path: Path, end: str | int) -> None:
    """The script has no `if __name__ == "__main__"`, and nothing that closes the encoder."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        text=True,
    ) as program:
        assert program.stdout is not None
        texts, dim, *pids = map(int, program.stdout.readline().split())
        assert (texts, dim) == (2, DIM)
        with watched(tuple(pids)) as all_end:
            if isinstance(end, int):
                os.killpg(program.pid, end) if end == signal.SIGINT else program.kill()
            _, errors = program.communicate(timeout=PATIENCE)
            all_end()
    assert program.returncode == (0 if end == "return" else -int(end))
    assert errors.count("Traceback") == (1 if end == signal.SIGINT else 0), errors
