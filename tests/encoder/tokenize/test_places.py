"""Where tokens are in a text: as many as the tokenizer makes, at the characters that it says."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.errors import InvalidInputError
from tests.encoder.tokenize.test_tokens import tokenization

CORPUS = [
    "Bees dance to tell the others where food is.",
    "Owls swallow mice whole, naïve mice above all.",
    "食物在哪里",
]


@cache
def byte_level() -> Tokenizer:
    """As RoBERTa's: a word's first token has the space before it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    return tokenizer


@cache
def metaspace() -> Tokenizer:
    """As XLM-RoBERTa's."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer: Any = trainers.UnigramTrainer(vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"])
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def length(made: Tokenization, text: str) -> int:
    return made([text]).tokens - made([""]).tokens


@pytest.mark.property
@given(st.text(max_size=80) | st.text(alphabet="aé.[SEP] \n\t\x0b\x1c\x85\u3000食", max_size=80))
@example("end\x0bstart [SEP] [sep]")
@example("a.b.c.d.e.f.g.h.i.j.k")
def test_there_are_as_many_places_as_tokens(text: str) -> None:
    made = tokenization(4096)
    places = made.places(text)
    assert len(places) == length(made, text)
    assert (np.diff(places) >= 0).all()


@pytest.mark.parametrize("make", [byte_level, metaspace])
@pytest.mark.parametrize("text", [CORPUS[0], " ".join(CORPUS) * 200, "\n\n".join(CORPUS)])
def test_other_tokenizers_are_asked_themselves(make: Any, text: str) -> None:
    tokenizer = make()
    places = Tokenization(tokenizer, max_length=10**6).places(text)
    assert abs(len(places) - len(tokenizer.encode(text).ids)) <= len(text) // 4000
    assert {text.index("dance"), text.index("tell")} <= set(places.tolist())


@pytest.mark.parametrize("piece", ["word ", "食", "x", "\n", "longerthanthecacheallowswordsofthatsorttobe.ofcourse "])
def test_a_text_of_mebibytes_takes_little_time_and_memory(piece: str) -> None:
    made = tokenization(256)
    text = (piece * 2**20)[: 2**20]
    began = time.process_time()
    places = made.places(text)
    assert time.process_time() - began < 20
    assert places.nbytes <= 8 * len(text)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="half of a surrogate pair"):
        tokenization(16).places("\ud800")
