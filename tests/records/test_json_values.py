import datetime
import decimal
import uuid
from typing import Any

import numpy as np
import pytest

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.records import Passage
from tasb_qdrant.records.json_values import finite

KATHMANDU = datetime.timezone(datetime.timedelta(hours=5, minutes=45))
MOMENT = datetime.datetime(2020, 2, 29, 12, 30, 15, 250_000)  # noqa: DTZ001 - a time without a zone is the case
NUMBER = uuid.UUID("12345678-90ab-cdef-1234-567890abcdef")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MOMENT, "2020-02-29T12:30:15.250000Z"),
        (MOMENT.replace(tzinfo=KATHMANDU), "2020-02-29T06:45:15.250000Z"),
        (MOMENT.date(), "2020-02-29"),
        (MOMENT.time(), "12:30:15.250000"),
        (datetime.timedelta(minutes=1, milliseconds=500), 60.5),
        (decimal.Decimal("12345678901234567"), 12345678901234567),
        (decimal.Decimal("1.50"), 1.5),
        (decimal.Decimal("5.00"), 5.0),
        (NUMBER, str(NUMBER)),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.datetime64("2020-02-29"), "2020-02-29"),
        (np.datetime64("2020-02-29T12:30:15.123456789"), "2020-02-29T12:30:15.123456789Z"),
        (np.datetime64("NaT"), None),
        (np.timedelta64(1500, "ms"), 1.5),
        ([{"at": (MOMENT.date(),)}], [{"at": ["2020-02-29"]}]),
    ],
)
def test_pythons_and_numpys_values_are_taken_as_from_parquet(value: Any, expected: Any) -> None:
    found = Passage("1", "t", payload={"v": value, "n": 1}).payload
    assert found == {"v": expected, "n": 1}
    assert type(found["v"]) is type(expected)


def test_what_stands_for_no_json_is_still_refused() -> None:
    for value in (b"bytes", {1, 2}, object(), decimal.Decimal(2**63)):
        with pytest.raises(InvalidPassageError):
            Passage("1", "t", payload={"at": MOMENT, "v": value})
    deep: Any = MOMENT
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidPassageError, match="nested deeper than 32"):
        Passage("1", "t", payload={"at": MOMENT, "v": deep})


def test_what_json_cant_say_becomes_null_and_is_counted() -> None:
    nan, infinity = float("nan"), float("inf")
    assert finite({"a": nan, "b": [1.5, -infinity], "c": {"d": (nan, "x")}}) == (
        {"a": None, "b": [1.5, None], "c": {"d": [None, "x"]}},
        3,
    )
