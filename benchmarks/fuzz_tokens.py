"""Compares the token ids of random strings with the model's own tokenizer: `python -m benchmarks.fuzz_tokens`."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator

import numpy as np

from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tests.models import minilm_folder

WORDS = [
    *("the", "of", "and", "capital", "France", "unaffable", "Transformer's", "don't"),
    *("e.g.", "U.S.", "1,234.50", "C++", "state-of-the-art", "(which)"),
]
ODD = [
    *("[SEP]", "[CLS]", "[MASK]", "[UNK]", "[PAD]", "[SEP", "SEP]", "[ SEP ]", "\uff3bSEP\uff3d", "##ing", "[[CLS]]"),
    *("e\u0301", "\u0301", "\u0338", "é", "ǖ", "İ", "ß", "ẞ", "Σ", "ς", "ﬁ", "K", "½", "가", "\u1100\u1161", "हिन्दी"),
    *(
        "漢",
        "漢字",
        "カタカナ",
        "。",
        "\uff0c",
        "한국어",
        "𠀀",
        "😀",
        "👩‍👩‍👧",
        "🇩🇪",
        "\u200d",
        "\u200b",
        "\ufeff",
        "\ufffd",
    ),
    *("\0", "\x07", "\x1c", "\x1f", "\x7f", "\x85", "\u00a0", "\u2028", "\u3000", "\t", "\n", "\r", "\v", "\f", " "),
    *("a" * 63, "b" * 64, "C" * 65, "d" * 99, "e" * 100, "f" * 101, "g" * 300, "." * 70, "!?" * 40, "xyz-" * 30),
]
LENGTHS = (3, 4, 8, 24, 512)


def strings(count: int, seed: int) -> Iterator[str]:
    """Words, oddities and random characters, with and without spaces between them."""
    random_ = random.Random(seed)
    for _ in range(count):
        joint = random_.choice(("", " ", " ", "  "))
        yield joint.join(piece(random_) for _ in range(random_.randrange(12)))


def piece(random_: random.Random) -> str:
    kind = random_.random()
    if kind < 0.4:
        word = random_.choice(WORDS)
        return random_.choice((word, word.upper(), word.capitalize(), f"({word}", f"{word},", f'"{word}."'))
    if kind < 0.6:
        return random_.choice(ODD)
    if kind < 0.7:
        return "".join(random_.choices("abcdeABC019.,'-_ ", k=random_.randrange(1, 12)))
    highest = random_.choice((0x80, 0x250, 0x3100, 0x10000, 0x110000))
    return "".join(character(random_.randrange(highest)) for _ in range(random_.randrange(1, 6)))


def character(code: int) -> str:
    return "?" if 0xD800 <= code < 0xE000 else chr(code)


def main() -> int:
    from transformers import AutoTokenizer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    own = AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True).backend_tokenizer
    own.no_padding()
    ways = [
        {length: Tokenization(own, max_length=length, use_nano=use_nano) for length in LENGTHS}
        for use_nano in (True, False)
    ]
    texts: list[str] = []
    done = wrong = 0
    for text in strings(options.count, options.seed):
        texts.append(text)
        done += 1
        if len(texts) == 5000 or done == options.count:
            length = LENGTHS[done // 5000 % len(LENGTHS)]
            wrong += sum(differences(own, ours[length], length, texts) for ours in ways)
            texts = []
    print(f"{done} strings, {wrong} with other ids than the model's own tokenizer")
    return int(wrong > 0)


def differences(own: object, ours: Tokenization, length: int, texts: list[str]) -> int:
    own.enable_truncation(length)  # type: ignore[attr-defined]  # transformers types it as an object
    theirs = own.encode_batch_fast(texts)  # type: ignore[attr-defined]
    batch = ours(texts)
    bad = [text for i, text in enumerate(texts) if not np.array_equal(batch[i], theirs[i].ids)]
    for text in bad[:3]:
        print(ascii(text), file=sys.stderr)
    return len(bad) + (batch.truncated != sum(bool(encoding.overflowing) for encoding in theirs))


if __name__ == "__main__":
    sys.exit(main())
