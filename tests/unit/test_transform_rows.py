"""Decoding of a row: what is refused, and what becomes `extra`."""

import json
from decimal import Decimal

import pytest

from lcm_pipeline.model.payloads import Operation, read_field
from lcm_pipeline.transform.rows import read_row
from lcm_pipeline.transform.values import InvalidValueError


def _reason(raw: bytes) -> str:
    with pytest.raises(InvalidValueError) as caught:
        read_row(raw, Operation)
    return str(caught.value)


def test_a_row_of_known_fields_has_no_extra() -> None:
    row, extra = read_row(b'{"Id":5,"PosName":""}', Operation)
    assert (row.Id, row.PosName, extra) == (5, "", None)


def test_unknown_fields_are_kept_as_sent() -> None:
    row, extra = read_row(b'{"Tips":10.10,"Id":5,"Big":123456789012345678901234.50}', Operation)
    assert row.Id == 5
    assert extra is not None
    assert extra.names == {"Tips", "Big"}
    assert extra.text == '{"Big":123456789012345678901234.50,"Tips":10.10}'


def test_unknown_names_are_written_as_json() -> None:
    _, extra = read_row('{"a\\"b":1,"Кассир":"Ю"}'.encode(), Operation)
    assert extra is not None
    assert json.loads(extra.text) == {'a"b': 1, "Кассир": "Ю"}


@pytest.mark.parametrize("field", ["PosName", "Odd"])
@pytest.mark.parametrize(
    "text", [rb"a\u0000b", rb"\u0000", rb"\\\u0000", rb"\n\u0000", rb"\ud83d\ude00\u0000"]
)
def test_a_nul_in_a_text_is_refused(field: str, text: bytes) -> None:
    raw = b'{"Id":5,"%s":"%s"}' % (field.encode(), text)
    assert _reason(raw) == f"{field}: holds a NUL character"


@pytest.mark.parametrize("field", ["PosName", "Odd"])
@pytest.mark.parametrize(
    "text", [rb"\\u0000", rb"\\\\u0000", rb"\n\\u0000", rb"\\ud800", rb"\u00d80000"]
)
def test_an_escaped_backslash_starts_no_escape(field: str, text: bytes) -> None:
    row, extra = read_row(b'{"Id":5,"%s":"%s"}' % (field.encode(), text), Operation)
    kept = row.PosName if extra is None else json.loads(extra.text)["Odd"]
    assert kept == json.loads(b'"%s"' % text)


def test_a_nul_in_the_name_of_a_field_is_refused() -> None:
    assert _reason(rb'{"Id":5,"a\u0000":1}') == "the row: holds a NUL character"


def test_a_nul_deep_in_an_unknown_field_is_refused() -> None:
    assert _reason(rb'{"Id":5,"Odd":[{"a":["\u0000"]}]}') == "Odd: holds a NUL character"


@pytest.mark.parametrize("field", ["PosName", "Odd"])
@pytest.mark.parametrize(
    "text", [rb"\ud83d", rb"\ude00", rb"\ude00\ud83d", rb"\ud83d \ude00", rb"\uD83D\\uDE00"]
)
def test_half_a_surrogate_pair_is_refused(field: str, text: bytes) -> None:
    raw = b'{"Id":5,"%s":"%s"}' % (field.encode(), text)
    assert _reason(raw).endswith("holds half a surrogate pair")


@pytest.mark.parametrize("field", ["PosName", "Odd"])
def test_a_whole_surrogate_pair_and_other_escapes_are_kept(field: str) -> None:
    raw = rb'{"Id":5,"%s":"\uD83D\uDE00\u041e\u00d8\\d800"}' % field.encode()
    row, extra = read_row(raw, Operation)
    kept = row.PosName if extra is None else json.loads(extra.text)["Odd"]
    assert kept == "😀ОØ\\d800"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"Id":"x"}', "Expected `int | null`, got `str` - at `$.Id`"),
        (b'{"ComponentType":300}', "Expected `int` <= 255 - at `$.ComponentType`"),
        (b'{"Pos":9223372036854775808}', "Expected `int` <= 9223372036854775807 - at `$.Pos`"),
        (b'{"Amount":"secret"}', "Invalid decimal string - at `$.Amount`"),
        (b'{"Amount":1e17}', "Expected `numeric(19,2)` - at `$.Amount`"),
        (b'{"Added":1e9999999}', "Added: a number out of range"),
        (b'{"PosName":"\xff"}', "PosName: malformed JSON"),
        (b'{"Odd":1,"Id":"x"}', "Expected `int | null`, got `str` - at `$.Id`"),
        (b'{"\xff":1}', "the row: malformed JSON"),
        (b'{"Odd":"\xff"}', "an unknown field: jsonb cannot store it"),
        (b'{"Odd":"\xed\xa0\x80"}', "an unknown field: jsonb cannot store it"),
        (b'{"Id":1', "the row: malformed JSON"),
        (b"null", "Expected `object`, got `null`"),
    ],
)
def test_the_reason_names_the_field_and_the_fault_but_not_the_value(
    raw: bytes, reason: str
) -> None:
    assert _reason(raw) == reason


@pytest.mark.parametrize(
    "number", [b"1e131071", b"-9.5E+131071", b"1e-16383", b"1.10", b"-0", b"1" * 131_072]
)
def test_any_number_that_jsonb_can_hold_keeps_every_digit(number: bytes) -> None:
    _, extra = read_row(b'{"Odd":%s}' % number, Operation)
    assert extra is not None
    assert Decimal(extra.text.removeprefix('{"Odd":').removesuffix("}")) == Decimal(number.decode())


@pytest.mark.parametrize(
    "number",
    [b"1e131072", b"1e-16384", b"1e99999999999999999999", b"1" * 131_073, b"1.5e-16383"],
)
def test_a_number_that_jsonb_cannot_hold_is_refused(number: bytes) -> None:
    assert _reason(b'{"Odd":[%s]}' % number) == "an unknown field: a number out of range"


def test_a_deeply_nested_value_is_refused() -> None:
    raw = b'{"Odd":%s%s}' % (b"[" * 100_000, b"]" * 100_000)
    assert _reason(raw) == "the row: nested too deeply"


def test_the_readable_fields_of_a_bad_row_can_be_read() -> None:
    raw = b'{"Id":5,"ComponentType":"x","Pos":"7","PosName":"\xff"}'
    names = ("Id", "ComponentType", "Pos", "PosName", "Parent")
    assert [read_field(raw, Operation, name) for name in names] == [5, None, 7, None, None]
