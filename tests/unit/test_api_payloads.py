"""Payloads: which values are accepted, which are refused, and what is never shown."""

from decimal import Decimal

import msgspec
import pytest

from lcm_pipeline.model.payloads import (
    ClientInfoPeriodReg,
    Operation,
    Registration,
    SetClientUpdateRequest,
    decode_row,
    unknown_fields,
)


def test_numbers_may_be_sent_as_numbers_as_texts_or_with_a_zero_fraction() -> None:
    row = decode_row(b'{"Id": "12", "Pos": 2.0, "Refund": "true", "Amount": "1.50"}', Operation)
    assert (row.Id, row.Pos, row.Refund, row.Amount) == (12, 2, True, Decimal("1.50"))


def test_money_keeps_every_digit() -> None:
    row = decode_row(b'{"Amount": 12345678901234567.89, "Added": -0.10}', Operation)
    assert row.Amount == Decimal("12345678901234567.89")
    assert str(row.Added) == "-0.10"


def test_a_card_of_eighteen_digits_keeps_every_digit() -> None:
    assert decode_row(b'{"Card": 999999999999999999}', Registration).Card == 999999999999999999


def test_a_text_that_reads_null_stays_a_text() -> None:
    assert decode_row(b'{"PosName": "null"}', Operation).PosName == "null"


def test_everything_in_a_row_may_be_null_or_absent() -> None:
    assert decode_row(b'{"Id": null}', Operation) == Operation()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"Id": 9223372036854775808}',
        b'{"Id": 2.5}',
        b'{"Id": ""}',
        b'{"Id": 123456789012345678.0}',
        b'{"Id": true}',
        b'{"ComponentType": 256}',
        b'{"BonusSource": -1}',
        b'{"PosName": 5}',
        b'{"Amount": "NaN"}',
        b'{"Amount": 1e400}',
        b'{"Amount": 100000000000000000}',
        b'{"Amount": "abc"}',
        b'{"PosName": "\xff"}',
        b'{"Id": 1',
        b"null",
    ],
)
def test_a_value_that_does_not_fit_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_row(raw, Operation)


def test_unknown_fields_never_fail_and_can_be_read() -> None:
    raw = b'{"Id": 1, "Gift": {"a": 1}}'
    assert decode_row(raw, Operation).Id == 1
    found = unknown_fields(raw, Operation)
    assert found is not None
    assert {name: bytes(value) for name, value in found.items()} == {"Gift": b'{"a": 1}'}


def test_a_row_of_known_fields_has_no_unknown_ones() -> None:
    assert unknown_fields(b'{"Id": 1, "Pos": null}', Operation) is None


def test_unset_fields_are_not_sent_but_false_is() -> None:
    request = SetClientUpdateRequest(Client=1, AllowSms=False)
    assert msgspec.json.encode(request) == b'{"Client":1,"AllowSms":false}'
    assert msgspec.json.encode(ClientInfoPeriodReg(Month=3)) == b'{"Month":3}'


def test_the_repr_of_a_request_hides_its_values() -> None:
    request = SetClientUpdateRequest(Client=1, Name="Анна", Phone=9001234567, Token=42)
    assert repr(request) == "<SetClientUpdateRequest>"
