"""Doubles are written so that a server, which reads digits and a power of ten, gets the same ones."""

from __future__ import annotations

import math
from decimal import Decimal

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from tasb_qdrant.collection.server.doubles import exactly


def as_the_server_reads(text: str) -> float:
    """serde_json without float_roundtrip: the digits as one double, times or by a power of ten."""
    sign, digits, exponent = Decimal(text).as_tuple()
    number = float(int("".join(map(str, digits))))
    power = float(f"1e{abs(int(exponent))}")
    return (-1 if sign else 1) * (number * power if int(exponent) >= 0 else number / power)


@given(st.floats(1e-30, 1e30) | st.floats(-1e30, -1e-30) | st.integers(-(2**63), 2**63).map(float))
@example(-7.126620041008835e-13)
@example(8.129800695360892e-19)
@example(float(1_768_907_445_451_174_113))
@example(0.0)
def test_a_double_is_read_as_itself(value: float) -> None:
    assert as_the_server_reads(orjson.dumps(exactly(value)).decode()) == value


def test_what_json_has_no_number_for_stays_as_it_is() -> None:
    assert exactly(math.inf) == math.inf


def test_a_filter_keeps_its_shape() -> None:
    ids = {"key": "n", "match": {"any": [1, 2]}}
    written = orjson.dumps(exactly({"must": [{"key": "f", "range": {"gte": 0.5, "lt": 1.0}}, ids]}))
    assert written == b'{"must":[{"key":"f","range":{"gte":0.5,"lt":1.0}},{"key":"n","match":{"any":[1,2]}}]}'
