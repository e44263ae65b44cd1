"""The grammar of the text form, and what messages call its terminals."""

from __future__ import annotations

from typing import Final

from tasb_qdrant.filters.values import DATETIME
from tasb_qdrant.records.path import BARE, RESERVED

_NAME = rf"(?:{BARE}|`[^`]+`)(?:\[\d*\])*"
_NOT_RESERVED = rf"(?!(?i:{'|'.join(sorted(RESERVED))})(?![\w\-.\[]))"

# Keywords end where a name would end, so that `in-stock` is a field and not `in`. `count(`, `ids(` and `at least`
# could be fields but for what follows them, which makes them the start of a condition.
GRAMMAR: Final = rf"""
?start: disjunction

?disjunction: conjunction (_OR conjunction)*    -> any_of
?conjunction: negation (_AND negation)*         -> all_of
?negation: _NOT negation                        -> negate
    | "(" disjunction ")"                       -> same
    | predicate

?predicate: FIELD CMP value                     -> compare
    | FIELD _IN list                            -> one_of
    | FIELD _NOT _IN list                       -> none_of
    | FIELD _NOT _IN "[" "]"                    -> none_of
    | FIELD _BETWEEN value _AND value           -> between
    | FIELD _EXISTS                             -> exists
    | FIELD _IS _NULL                           -> is_null
    | FIELD _IS _NOT _NULL                      -> is_not_null
    | FIELD _IS _EMPTY                          -> is_empty
    | FIELD _IS _NOT _EMPTY                     -> is_not_empty
    | FIELD _CONTAINS STRING                    -> contains
    | FIELD _CONTAINS _ANY STRING               -> contains_any
    | FIELD _CONTAINS _PHRASE STRING            -> contains_phrase
    | FIELD _PREFIX STRING                      -> prefix
    | FIELD _SUBSTRING STRING                   -> substring
    | FIELD _WITHIN NUMBER UNIT _OF point       -> within
    | FIELD _IN _BOX point _TO point            -> in_box
    | FIELD _IN _POLYGON ring (_WITHOUT ring)*  -> in_polygon
    | FIELD _ANY "(" disjunction ")"            -> any_element
    | _COUNT "(" FIELD ")" CMP NUMBER           -> count
    | _COUNT "(" FIELD ")" _BETWEEN NUMBER _AND NUMBER         -> count_between
    | _IDS "(" STRING ("," STRING)* ")"         -> ids
    | _AT_LEAST NUMBER _OF "(" disjunction ("," disjunction)* ")"    -> at_least

list: "[" value ("," value)* "]"
ring: "[" point ("," point)* "]"
point: "(" NUMBER "," NUMBER ")"
value: DATE | NUMBER | STRING | TRUE | FALSE

FIELD.1: /{_NOT_RESERVED}{_NAME}(?:\.{_NAME})*/
CMP: /==|!=|<=|>=|<(?!>)|>|=(?![<>])/
DATE.4: /{DATETIME}(?![\w:.+-])/
NUMBER.3: /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/
STRING: /"(?:[^"\\]|\\(?s:.))*"|'(?:[^'\\]|\\(?s:.))*'/
UNIT.2: /(?:km|m)(?![\w\-])/i
TRUE.2: /true(?![\w\-])/i
FALSE.2: /false(?![\w\-])/i
_COUNT.5: /count(?=\s*\()/i
_IDS.5: /ids(?=\s*\()/i
_AT_LEAST.5: /at\s+least(?![\w\-])/i
_AND.2: /and(?![\w\-])/i
_OR.2: /or(?![\w\-])/i
_NOT.2: /not(?![\w\-])/i
_IN.2: /in(?![\w\-])/i
_IS.2: /is(?![\w\-])/i
_NULL.2: /null(?![\w\-])/i
_EMPTY.2: /empty(?![\w\-])/i
_EXISTS.2: /exists(?![\w\-])/i
_BETWEEN.2: /between(?![\w\-])/i
_CONTAINS.2: /contains(?![\w\-])/i
_PREFIX.2: /prefix(?![\w\-])/i
_SUBSTRING.2: /substring(?![\w\-])/i
_WITHIN.2: /within(?![\w\-])/i
_OF.2: /of(?![\w\-])/i
_BOX.2: /box(?![\w\-])/i
_TO.2: /to(?![\w\-])/i
_ANY.2: /any(?![\w\-])/i
_PHRASE.2: /phrase(?![\w\-])/i
_POLYGON.2: /polygon(?![\w\-])/i
_WITHOUT.2: /without(?![\w\-])/i

%ignore /\s+/
"""

WORDS: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (frozenset({"FIELD"}), "a field name"),
    (
        frozenset(
            {"CMP", "_IN", "_IS", "_CONTAINS", "_EXISTS", "_WITHIN", "_BETWEEN", "_ANY", "_PREFIX", "_SUBSTRING"}
        ),
        "an operator (= != < <= > >=, in, not in, between, contains, prefix, substring, exists, is null, is empty, within, any)",  # noqa: E501
    ),
    (frozenset({"CMP", "_BETWEEN"}), "an operator (= != < <= > >= or between)"),
    (
        frozenset({"STRING", "NUMBER", "DATE"}),
        'a value (a number, "text" in quotes, true, false, or a date such as 2020-01-31)',
    ),
    (frozenset({"_WITHOUT"}), '"without"'),
    (frozenset({"_AND", "_OR"}), '"and", "or"'),
    (frozenset({"_IN"}), '"in"'),
    (frozenset({"_NULL", "_EMPTY"}), '"null" or "empty"'),
    (frozenset({"_AND"}), '"and"'),
    (frozenset({"STRING"}), '"text" in quotes'),
    (frozenset({"_ANY", "_PHRASE"}), '"any" or "phrase"'),
    (frozenset({"_BOX", "_POLYGON"}), '"box" or "polygon"'),
    (frozenset({"NUMBER"}), "a number"),
    (frozenset({"UNIT"}), '"km" or "m"'),
    (frozenset({"_OF"}), '"of"'),
    (frozenset({"_TO"}), '"to"'),
    (frozenset({"LPAR"}), '"("'),
    (frozenset({"LSQB"}), '"["'),
    (frozenset({"COMMA"}), '","'),
    (frozenset({"RPAR"}), '")"'),
    (frozenset({"RSQB"}), '"]"'),
    (frozenset({"$END"}), "the end of the filter"),
)
"""The first group whose terminals are all acceptable gives the name; "(" and "not" go with a field."""
