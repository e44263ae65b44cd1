import copy
import dataclasses
import datetime
import math
import pickle
import uuid
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.records import (
    MAX_ID_CHARS,
    MAX_PAYLOAD_DEPTH,
    POINT_ID_NAMESPACE,
    Hit,
    IngestReport,
    ModelContract,
    Passage,
    point_id,
)
from tasb_qdrant.records.passage import NulledPayload
from tasb_qdrant.records.verification import Difference, Repair, VerifyReport

CANONICAL = "12345678-90ab-cdef-1234-567890abcdef"


@pytest.mark.parametrize(("written", "number"), [("0", 0), ("42", 42), ("9007199254740991", 2**53 - 1)])
def test_a_canonical_decimal_below_2_to_the_53_is_that_integer(written: str, number: int) -> None:
    found = point_id(written)
    assert (found, type(found)) == (number, int)


@pytest.mark.parametrize("written", ["9007199254740992", "1234567890123456789", "18446744073709551615"])
def test_in_an_old_collection_it_is_one_below_2_to_the_64(written: str) -> None:
    assert point_id(written, "u64") == int(written)
    assert point_id(written) == str(uuid.uuid5(POINT_ID_NAMESPACE, written))
    assert point_id("18446744073709551616", "u64") == point_id("18446744073709551616")


@pytest.mark.parametrize(
    "written",
    [
        "00", "042", "+1", "-1", "-0", " 1", "1 ", "1\n", "1.0", "1e3", "0x10", "1_000", "٣", "１",
        "9007199254740992", "9007199254740993", "1234567890123456789",  # doubles round the last two
        "18446744073709551616", "9" * 30, "", "D42", "MARCO_7", "doc/1#2", "ä", "🦀",
        CANONICAL[:-1], CANONICAL + "0", CANONICAL.replace("a", "g"), f" {CANONICAL}", f"{CANONICAL}\n",
    ],
)  # fmt: skip
def test_any_other_id_is_hashed_into_the_fixed_namespace(written: str) -> None:
    assert point_id(written) == str(uuid.uuid5(POINT_ID_NAMESPACE, written))


@pytest.mark.parametrize(
    "written",
    [
        CANONICAL,
        CANONICAL.upper(),
        CANONICAL.replace("-", ""),
        CANONICAL.replace("-", "").upper(),
        f"{{{CANONICAL}}}",
        f"{{{CANONICAL.upper()}}}",
        f"urn:uuid:{CANONICAL}",
        f"URN:UUID:{CANONICAL.upper()}",
        f"Urn:Uuid:{CANONICAL}",
    ],
)
def test_a_uuid_in_any_spelling_is_its_canonical_form(written: str) -> None:
    assert point_id(written) == CANONICAL


def test_the_mapping_never_changes() -> None:
    assert str(POINT_ID_NAMESPACE) == "e1e51586-b667-54d5-88f2-fd8565f164f8"
    assert point_id("MARCO_D7") == "f6208490-b402-55b7-886a-6b03897d3c7b"


@given(st.integers(0, 2**53 - 1))
def test_every_integer_that_a_double_holds_exactly_survives_the_mapping(number: int) -> None:
    assert point_id(str(number)) == number == int(float(number))


@given(st.integers(0, 2**64 - 1))
def test_every_u64_survives_the_mapping_of_old_collections(number: int) -> None:
    assert point_id(str(number), "u64") == number


@given(st.uuids())
def test_every_uuid_survives_the_mapping(value: uuid.UUID) -> None:
    assert {point_id(spelling) for spelling in (str(value), value.hex, value.urn, f"{{{value}}}")} == {str(value)}


@given(st.text())
def test_a_point_id_is_an_exact_integer_or_a_canonical_uuid_and_always_the_same(written: str) -> None:
    try:
        found = point_id(written)
    except UnicodeEncodeError:
        assert any("\ud800" <= character <= "\udfff" for character in written)  # no passage has such an id
        return
    assert found == point_id(written)
    if isinstance(found, int):
        assert str(found) == written
        assert 0 <= found < 2**53
    else:
        assert str(uuid.UUID(found)) == found


@given(st.lists(st.text(st.characters(codec="utf-8")), unique=True))
def test_different_ids_that_are_no_uuids_get_different_points(ids: list[str]) -> None:
    assert len({point_id(written) for written in ids}) == len(ids)


def test_a_passage_knows_its_point_and_what_the_encoder_reads() -> None:
    assert Passage("7", "text").point_id == 7
    assert Passage("7", "text").encoder_text == "text"
    assert Passage("7", "text", "title").encoder_text == "title text"
    assert Passage("7", "text", "").encoder_text == "text"


def test_a_title_alone_is_a_passage_and_all_that_the_encoder_reads() -> None:
    passage = Passage("7", "", "Remdesivir in hospital patients")
    assert (passage.text, passage.encoder_text) == ("", "Remdesivir in hospital patients")
    for title in (None, "", " "):
        with pytest.raises(InvalidPassageError, match="the text is empty, and there is no title"):
            Passage("7", "", title)


@pytest.mark.parametrize(
    ("parts", "field", "reason"),
    [
        ({"id": ""}, "id", "the id is empty"),
        ({"id": " \t"}, "id", "the id is empty"),
        ({"id": "\u00a0"}, "id", "the id is empty"),
        ({"id": 7}, "id", "the id must be a string, got int"),
        ({"id": None}, "id", "the id must be a string, got NoneType"),
        ({"id": "a\x00"}, "id", "the id has a NUL character at offset 1"),
        ({"id": "\ud800"}, "id", "the id has half of a surrogate pair at offset 0"),
        ({"id": "x" * (MAX_ID_CHARS + 1)}, "id", "the id has 1025 characters, at most 1024"),
        ({"text": ""}, "text", "the text is empty"),
        ({"text": "\n\u3000"}, "text", "the text is empty"),
        ({"text": b"bytes"}, "text", "the text must be a string, got bytes"),
        ({"text": "plain\x00"}, "text", "the text has a NUL character at offset 5"),
        ({"text": "ä\x00"}, "text", "the text has a NUL character at offset 1"),
        ({"text": "ab\udfff"}, "text", "half of a surrogate pair at offset 2"),
        ({"title": 7}, "title", "the title must be a string, got int"),
        ({"title": "\ud83d"}, "title", "the title has half of a surrogate pair"),
        ({"payload": None}, "payload", "the payload must be an object, got NoneType"),
        ({"payload": [1]}, "payload", "the payload must be an object, got list"),
        ({"payload": {"": 1}}, "payload", "a payload field has an empty name"),
        ({"payload": {7: 1}}, "payload", "payload field names must be strings, got int"),
        ({"payload": {"a\x00": 1}}, "payload", "has a NUL character"),
        ({"payload": {"a": "\ud800"}}, "payload", "payload field 'a' has half of a surrogate pair"),
        ({"payload": {"a": 2**63}}, "payload", "doesn't fit a 64-bit integer"),
        ({"payload": {"a": -(2**63) - 1}}, "payload", "doesn't fit a 64-bit integer"),
        ({"payload": {"a": {1, 2}}}, "payload", "has a value of type set, which JSON can't represent"),
        ({"payload": {"a": b""}}, "payload", "has a value of type bytes"),
        ({"payload": {"a": [{"b": [object()]}]}}, "payload", "payload field 'a[].b[]' has a value of type object"),
        ({"payload": {"a": {"": 1}}}, "payload", "a payload field has an empty name"),
    ],
)
def test_a_passage_that_cant_be_stored_cant_be_made(parts: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidPassageError) as refused:
        Passage(**{"id": "1", "text": "t", **parts})
    assert refused.value.field == field
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    "payload",
    [
        {},
        MappingProxyType({"a": 1}),
        {"a": None, "b": True, "c": -(2**63), "d": 2**63 - 1, "e": 1e308, "f": "ü🦀", "g": [], "h": {}, "i": ("t",)},
        {"a": [MappingProxyType({"b": [1, [2.5, None]]})]},
    ],
)
def test_any_json_object_is_a_payload(payload: dict[str, Any]) -> None:
    assert Passage("1", "t", payload=payload).payload == payload


def test_the_longest_id_and_the_deepest_payload_are_allowed_and_one_more_is_not() -> None:
    assert Passage("x" * MAX_ID_CHARS, "t").id == "x" * MAX_ID_CHARS
    deep: Any = 1
    for _ in range(MAX_PAYLOAD_DEPTH - 1):
        deep = [deep]
    Passage("1", "t", payload={"a": deep})
    with pytest.raises(InvalidPassageError, match="nested deeper than 32"):
        Passage("1", "t", payload={"a": [deep]})


@given(st.text(), st.text())
def test_a_text_is_refused_exactly_when_it_cant_be_stored(written: str, text: str) -> None:
    def storable(value: str) -> bool:
        return bool(value.strip()) and not any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in value)

    good = storable(written) and storable(text)
    try:
        assert Passage(written, text).text == text
    except InvalidPassageError:
        assert not good
    else:
        assert good


def test_a_hit_is_a_plain_json_object() -> None:
    hit = Hit("7", 1.5, "text", payload=MappingProxyType({"year": 2020}))
    assert hit.to_dict() == {"id": "7", "score": 1.5, "text": "text", "title": None, "payload": {"year": 2020}}


CONTRACT = ModelContract(
    model="tas-b", weights="a" * 64, pooling="cls", normalized=False, distance="Dot", dim=768,
    max_length=512, precision="fp32", query_prompt="", passage_prompt="", version="0.1.0",
)  # fmt: skip


def test_a_contract_survives_storing_and_ignores_what_later_versions_add() -> None:
    assert ModelContract.from_dict({**CONTRACT.to_dict(), "later": 1}) == CONTRACT
    with pytest.raises(KeyError):
        ModelContract.from_dict({"model": "tas-b"})


def test_a_contract_of_before_commits_were_recorded_has_no_revision() -> None:
    stored = replace(CONTRACT, revision="c" * 40).to_dict()
    assert ModelContract.from_dict(stored).revision == "c" * 40
    del stored["revision"]
    assert ModelContract.from_dict(stored).revision == ""


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"model": "elsewhere", "precision": "fp16", "version": "9", "revision": "c" * 40}, []),
        ({"dim": 384}, [("dim", 768, 384)]),
        ({"max_length": 256}, [("max length", 512, 256)]),
        ({"model": "m", "weights": "b" * 64}, [("model", f"tas-b ({'a' * 12})", f"m ({'b' * 12})")]),
    ],
)
def test_contracts_differ_where_their_vectors_cant_be_compared(
    change: dict[str, Any], difference: list[tuple[str, object, object]]
) -> None:
    other = ModelContract.from_dict({**CONTRACT.to_dict(), **change})
    assert CONTRACT.differences(other) == difference


REPORT = IngestReport(
    collection="c", location="l", model="m", device="cpu", precision="fp32", read=10, stored=8, updated=0, skipped=1,
    rejected=1, truncated=0, tokens=100, points=8, points_expected=8, seconds=9.0, loading_seconds=4.0, stages={"read": 1.0},
)  # fmt: skip


def test_a_report_says_its_rates_also_of_a_run_that_took_no_time() -> None:
    assert REPORT.to_dict()["passages_per_second"] == 2.0
    assert REPORT.to_dict()["tokens_per_second"] == 25.0
    assert replace(REPORT, loading_seconds=0.0).passages_per_second == 0.0
    assert replace(REPORT, loading_seconds=0.0).tokens_per_second == 0.0


@pytest.mark.parametrize(("expected", "verified"), [(8, True), (9, False), (None, True)])
def test_a_report_is_verified_where_the_count_is_what_it_must_be(expected: int | None, verified: bool) -> None:
    report = replace(REPORT, points_expected=expected)
    assert (report.verified, report.to_dict()["verified"]) == (verified, verified)


def test_every_difference_has_its_name_and_its_count_in_a_report() -> None:
    assert [each.value for each in Difference] == [
        "missing",
        "extra",
        "duplicate",
        "text",
        "payload",
        "no_vector",
        "vector",
    ]
    counts: dict[str, Any] = {each.attribute: 10**place for place, each in enumerate(Difference)}
    report = VerifyReport("c", "here", **counts)
    assert [report.count(each) for each in Difference] == [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]
    assert (report.differences, replace(report, extra_allowed=True).differences) == (1_111_111, 1_111_101)
    encoded = (Difference.MISSING, Difference.TEXT, Difference.NO_VECTOR, Difference.VECTOR)
    assert Difference.mended_by(Repair.ENCODE) == encoded


def test_values_that_json_cannot_say_become_null_and_are_counted() -> None:
    values: dict[str, Any] = {
        "a": float("nan"),
        "b": [1.5, -math.inf],
        "c": {"d": math.inf},
        "e": 1,
        "when": datetime.date(2020, 1, 2),
    }
    passage = Passage("1", "t", payload=values)
    assert passage.payload == {"a": None, "b": [1.5, None], "c": {"d": None}, "e": 1, "when": "2020-01-02"}
    assert isinstance(passage.payload, NulledPayload)
    assert passage.payload.nulled == 3
    assert math.isnan(values["a"])  # the caller's own stays as it is
    with pytest.raises(InvalidPassageError, match="payload field 'f' has a value of type set"):
        Passage("1", "t", payload={"a": math.nan, "f": {1}})
    assert type(Passage("1", "t", payload={"a": 1.5}).payload) is dict


def test_a_passage_with_nulled_values_is_copied_and_taken_apart_as_any_other() -> None:
    passage = Passage("1", "t", payload={"a": math.nan, "b": [1]})
    assert dataclasses.asdict(passage) == {"id": "1", "text": "t", "title": None, "payload": {"a": None, "b": [1]}}
    for again in (copy.deepcopy(passage), *(pickle.loads(pickle.dumps(passage, way)) for way in range(2, 6))):
        assert again == passage
        assert again.payload.nulled == 1
