"""Token ids are those of the model's own tokenizer, however long or odd a text is."""

from __future__ import annotations

import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.tokenize.tokens import LONG, Tokenization
from tasb_qdrant.errors import InvalidInputError
from tests.encoder.conftest import SHARED_DATA
from tests.models import minilm_folder


@cache
def own_tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)


@cache
def tokenization(max_length: int) -> Tokenization:
    return Tokenization(own_tokenizer().backend_tokenizer, max_length=max_length)


def assert_same_as_own(texts: list[str], *, max_length: int) -> None:
    batch = tokenization(max_length)(texts)
    whole = [own_tokenizer()(text, truncation=False, verbose=False)["input_ids"] for text in texts]
    cut = [own_tokenizer()(text, truncation=True, max_length=max_length)["input_ids"] for text in texts]
    assert [batch[index].tolist() for index in range(len(batch))] == cut
    assert batch.truncated == sum(len(ids) > max_length for ids in whole)
    assert batch.tokens == sum(map(len, cut)) == batch.lengths.sum()
    assert batch.ids.dtype == np.int32


# Pieces that meet every rule of BERT's tokenizer: special tokens, accents, combining marks, controls,
# ideographs, words beyond the limit of 100 characters, punctuation of several scripts.
PIECES = st.sampled_from(
    [
        *("the", "unaffable", "[SEP]", "[MASK", "]", "é", "e\u0301", "\u0301", "漢", "漢\u0301", "。", "한국", "😀"),
        *(" ", "\n", "\u00a0", "\u200b", "\x07", ".", "-", "#", "≠", "=", "\u0338", "İ", "ﬁ", "Σ", "a" * 99, "b" * 130),
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(PIECES, max_size=150).map("".join), max_size=4), max_length=st.sampled_from([3, 5, 8, 32])
)
def test_a_long_text_read_in_part_has_the_ids_of_the_whole(texts: list[str], max_length: int) -> None:
    assert_same_as_own(texts, max_length=max_length)


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=400))
def test_any_text_has_the_ids_of_the_models_own_tokenizer(text: str) -> None:
    assert_same_as_own([text], max_length=8)


def test_a_text_of_exactly_the_maximum_is_not_truncated() -> None:
    fits, longer = "the " * 30, "the " * 31
    batch = tokenization(32)([fits, longer])
    assert batch.lengths.tolist() == [32, 32]
    assert batch.truncated == 1


@pytest.mark.parametrize(
    "piece", ["hello world ", "漢字", "x", "+/9a"], ids=["words", "ideographs", "one word", "base64"]
)
def test_a_text_of_16_mib_is_read_as_fast_as_its_beginning(piece: str) -> None:
    text = piece * (2**24 // len(piece.encode()))
    begin = time.process_time()  # which doesn't pass while others have the cores
    batch = tokenization(512)([text])
    assert time.process_time() - begin < 5  # reading all of it takes 7 to 46 s
    beginning = tokenization(512)([piece * (LONG * 512 // len(piece))])
    assert batch[0].tolist() == beginning[0].tolist()
    assert batch.truncated == (piece != "x")


def test_texts_that_are_no_strings_are_refused_by_position(minilm_fp32: Encoder) -> None:
    with pytest.raises(InvalidInputError, match="text 1 must be a string, found int"):
        minilm_fp32.encode_passages(["a", 5])  # type: ignore[list-item]  # what this test is about
    with pytest.raises(InvalidInputError, match="put it into a list"):
        minilm_fp32.encode_passages("a passage")
    with pytest.raises(InvalidInputError, match="text 1 has half of a surrogate pair at offset 2"):
        minilm_fp32.tokenize_passages(["a", "ab\ud800"])


@pytest.mark.parametrize("query", ["", "  \n\t"])
def test_an_empty_query_is_refused(minilm_fp32: Encoder, query: str) -> None:
    with pytest.raises(InvalidInputError, match="query 1 is empty"):
        minilm_fp32.encode_queries(["fine", query])


def test_a_query_that_is_no_string_is_refused(minilm_fp32: Encoder) -> None:
    with pytest.raises(InvalidInputError, match="text 0 must be a string, found NoneType"):
        minilm_fp32.encode_queries([None])  # type: ignore[list-item]  # what this test is about


def test_prompts_are_put_before_the_text(tiny: Path) -> None:
    write_layout(tiny, prompts={"query": "query: ", "document": "passage: "})
    encoder = load_encoder(tiny, device="cpu", precision="fp32")
    assert (encoder.contract.query_prompt, encoder.contract.passage_prompt) == ("query: ", "passage: ")
    own = own_tokenizer()("passage: a text")["input_ids"]
    assert encoder.tokenize_passages(["a text"])[0].tolist() == own
    plain = load_encoder(tiny.parent / "tiny", device="cpu", precision="fp32")
    np.testing.assert_array_equal(plain.encode_queries(["x"]), encoder.encode_queries(["x"]))
    assert not np.allclose(encoder.encode_queries(["x"]), encoder.encode_passages(["x"]), atol=1e-4)


def write_layout(folder: Path, *, prompts: dict[str, str]) -> None:
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))


def test_the_golden_tokens_of_tas_b_are_reproduced(tasb_fp32: Encoder) -> None:
    path = SHARED_DATA / "golden" / "tasb_golden.json"
    if not path.is_file():
        pytest.skip(f"no golden values at {path}; set TASB_QDRANT_DATA to their folder")
    golden = json.loads(path.read_text())["encode_pairs_notebook"]
    texts = [golden["passage1"], golden["passage2"], golden["query"]]
    batch = tasb_fp32.tokenize_passages(texts)
    tokens = [own_tokenizer().convert_ids_to_tokens(batch[index].tolist()) for index in range(3)]
    assert tokens == [golden["tokens_passage1"], golden["tokens_passage2"], golden["tokens_query"]]
