"""What is encoded: passages as long as MS MARCO's, samples with the same lengths, and short queries."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

MEAN_TOKENS: Final = 75
"""Mean length of MS MARCO's 8.84 million passages in wordpieces, [CLS] and [SEP] included."""

SPREAD: Final = 0.4
"""Standard deviation of the logarithm of a length; 0.38 in MS MARCO passages found by searches."""

MOST_TOKENS: Final = 512
_POOL: Final = "msmarco-dl-pool"


@dataclass(frozen=True, slots=True)
class Corpus:
    """`lengths` in wordpieces, in the order of `texts`."""

    source: str
    texts: tuple[str, ...]
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def mean(self) -> float:
        return self.tokens / len(self.lengths)


def data_folder() -> Path:
    """The folder for real collections, if any."""
    return Path(os.environ.get("TASB_QDRANT_DATA", Path(__file__).parents[3] / "shared/data"))


def read_corpus(tokenizer: Tokenizer, count: int, *, seed: int = 0) -> Corpus:
    """`count` MS MARCO passages if available, else synthetic ones of the same lengths."""
    folder = data_folder() / _POOL
    random_ = random.Random(seed)
    if (folder / "corpus.jsonl").is_file():
        with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
            passages = [json.loads(line)["text"] for line in lines]
        source = "MS MARCO passages found for the questions of TREC DL 2019 and 2020"
        texts = random_.sample(passages, min(count, len(passages)))
    else:
        source = f"made-up passages of log-normal lengths, mean {MEAN_TOKENS} wordpieces"
        words = whole_words(tokenizer)
        texts = [made_up(words, length, random_) for length in lengths_like_msmarco(count, random_)]
    return Corpus(source, tuple(texts), tuple(count_tokens(tokenizer, texts)))


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts))]


def lengths_like_msmarco(count: int, random_: random.Random) -> list[int]:
    """Lengths in wordpieces, log-normal, of mean MEAN_TOKENS and at most MOST_TOKENS."""
    middle = math.log(MEAN_TOKENS) - SPREAD**2 / 2
    return [min(MOST_TOKENS, max(4, round(random_.lognormvariate(middle, SPREAD)))) for _ in range(count)]


def whole_words(tokenizer: Tokenizer) -> list[str]:
    """The vocabulary's words of a single wordpiece each, frequent ones first, as in BERT's vocabulary."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [word for word, _ in vocabulary if word.isascii() and word.isalpha() and len(word) > 1]


def made_up(words: Sequence[str], length: int, random_: random.Random) -> str:
    """A text of `length` wordpieces with [CLS] and [SEP]: words by Zipf's law, and a full stop."""
    count = length - 3
    chosen = [words[int(len(words) ** random_.random()) - 1] for _ in range(count)]
    return " ".join(chosen).capitalize() + "."


def short_queries(tokenizer: Tokenizer, count: int, *, tokens: int = 12, seed: int = 1) -> list[str]:
    """Different queries of `tokens` wordpieces each, [CLS] and [SEP] included."""
    words, random_ = whole_words(tokenizer), random.Random(seed)
    return [" ".join(random_.choices(words[:2000], k=tokens - 2)) for _ in range(count)]


def sample(corpus: Corpus, count: int, *, part: int = 0, parts: int = 1, seed: int = 0) -> Corpus:
    """`count` passages with the corpus's length distribution: taken at regular intervals by length, and shuffled.

    Each `part` of `parts` has different passages.
    """
    order = sorted(range(len(corpus.texts)), key=lambda index: (corpus.lengths[index], index))
    step = len(order) / min(count, len(order))
    offset = (part + 0.5) / parts
    chosen = [order[int((number + offset) * step)] for number in range(min(count, len(order)))]
    random.Random(seed).shuffle(chosen)
    texts = tuple(corpus.texts[index] for index in chosen)
    return Corpus(corpus.source, texts, tuple(corpus.lengths[index] for index in chosen))
