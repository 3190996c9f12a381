"""The transform of operations and of the phone in their envelope."""

from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import pytest

from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.tasks import StagedRows
from lcm_pipeline.transform.operations import OperationRecord, transform_operations
from lcm_pipeline.transform.registrations import ClientRecord
from tests.unit.transform_rows import client_rows, operation, operation_of

DAY = date(2026, 3, 4)
MOMENT = datetime(2026, 3, 4, 9, tzinfo=UTC)


def _transform(*rows: SourceRow, envelope: bytes | None = None) -> StagedRows:
    return transform_operations(client_rows(rows, envelope=envelope))


def _only(staged: StagedRows) -> OperationRecord:
    assert staged.bad_rows == []
    (record,) = staged.records["operations"]
    assert isinstance(record, OperationRecord)
    return record


def test_every_field_of_an_operation_has_its_column() -> None:
    row = operation(
        Pos=11, BonusId=12, ChequeId=13, PartnerName="П", PosName="М", Amount=Decimal("1.10"),
        Added=Decimal("2"), Redeemed=Decimal("-3.5"), Refund=True, Discount=Decimal("4"),
        SertRedeemed=Decimal("5"), CouponNumber="К", BonusSourceName="Покупка", BonusSource=2,
        ChequeNumber="Ч", Active=False, ActiveDate="2026-03-05T00:00:00",
        ExpiryDate="2027-03-04T00:00:00Z", Remain=Decimal("6"), Parent=14, OrderId=15,
    )  # fmt: skip
    assert _only(_transform(row)) == OperationRecord(
        operation_date=DAY, client_id=7, component_type=1, operation_id=5, processed_at=MOMENT,
        bonus_id=12, cheque_id=13, cheque_number="Ч", order_id=15, parent_id=14, pos_id=11,
        partner_name="П", amount=Decimal("1.10"), added=Decimal(2), redeemed=Decimal("-3.5"),
        discount=Decimal(4), certificate_redeemed=Decimal(5), remain=Decimal(6), is_refund=True,
        coupon_number="К", bonus_source=2, is_active=False,
        active_from=datetime(2026, 3, 4, 21, tzinfo=UTC),
        expires_at=datetime(2027, 3, 4, tzinfo=UTC), pos_name="М", bonus_source_name="Покупка",
        extra=None,
    )  # fmt: skip


def test_an_operation_needs_only_its_key_and_its_moment() -> None:
    record = _only(_transform(operation()))
    assert record[:5] == (DAY, 7, 1, 5, MOMENT)
    assert set(record[5:]) == {None}


def test_text_is_kept_as_sent_and_empty_text_stays_empty() -> None:
    record = _only(_transform(operation(PosName="", PartnerName=" A ", ChequeNumber=None)))
    assert (record.pos_name, record.partner_name, record.cheque_number) == ("", " A ", None)


def test_an_empty_or_unset_date_is_null() -> None:
    record = _only(_transform(operation(ActiveDate="", ExpiryDate="0001-01-01T00:00:00")))
    assert (record.active_from, record.expires_at) == (None, None)


def test_an_amount_never_passes_through_a_float() -> None:
    record = _only(_transform(operation_of(b'"Amount":90071992547409.93,"Added":"1.10"')))
    assert (record.amount, record.added) == (Decimal("90071992547409.93"), Decimal("1.10"))


def test_float_noise_is_rounded() -> None:
    assert _only(_transform(operation_of(b'"Amount":0.30000000000000004'))).amount == Decimal(
        "0.30"
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Id": None}, "Id: missing"),
        ({"ComponentType": None}, "ComponentType: missing"),
        ({"Proctime": None}, "Proctime: missing"),
        ({"Proctime": "2026-02-30T25:61:00"}, "Proctime: not a date and time"),
        ({"Proctime": "1900-01-01T00:00:00"}, "Proctime: business day is before 2000-01-01"),
        ({"ExpiryDate": "later"}, "ExpiryDate: not a date and time"),
        ({"Amount": Decimal("1.005")}, "Amount: more than two decimals"),
        ({"Pos": 2**63}, "Expected `int` <= 9223372036854775807 - at `$.Pos`"),
        ({"CouponNumber": "a\0"}, "CouponNumber: holds a NUL character"),
    ],
)
def test_a_row_that_does_not_fit_is_quarantined_and_the_rest_lands(
    fields: dict[str, Any], reason: str
) -> None:
    bad = operation(**{"Id": 6, **fields})
    staged = _transform(bad, operation())
    assert len(staged.records["operations"]) == 1
    (bad_row,) = staged.bad_rows
    assert (bad_row.table, bad_row.client_id, bad_row.digest, bad_row.reason) == (
        "operations",
        7,
        bad.digest,
        reason,
    )
    assert (bad_row.raw, bad_row.context) == (bad.raw.decode(), "")


def test_bytes_that_are_not_utf_8_stay_readable() -> None:
    (bad_row,) = _transform(operation_of(b'"PosName":"\xff\0"')).bad_rows
    assert bad_row.raw.endswith(r'"PosName":"\xff\x00"}')


def test_unknown_fields_go_to_extra_and_are_reported() -> None:
    staged = _transform(operation_of(b'"Tips":10.50,"Cashier":{"Id":1}'), operation(Id=6))
    first, second = staged.records["operations"]
    assert (first[-1], second[-1]) == ('{"Cashier":{"Id":1},"Tips":10.50}', None)
    assert staged.unknown_fields == {"Tips", "Cashier"}


def test_the_same_row_twice_lands_once() -> None:
    staged = _transform(operation(), operation(), operation(PosName=None))
    assert len(staged.records["operations"]) == 1
    assert staged.bad_rows == []


def test_a_repeated_key_with_other_content_quarantines_the_later_row() -> None:
    later = operation(Amount=Decimal(2))
    staged = _transform(operation(Amount=Decimal(1)), later)
    assert _amounts(staged) == [Decimal(1)]
    assert [row.digest for row in staged.bad_rows] == [later.digest]


def test_a_repeated_key_on_another_day_is_a_conflict() -> None:
    staged = _transform(operation(), operation(Proctime="2026-03-06T12:00:00"))
    assert len(staged.records["operations"]) == len(staged.bad_rows) == 1


def test_a_bonus_and_a_cheque_with_one_number_are_two_operations() -> None:
    staged = _transform(operation(ComponentType=1), operation(ComponentType=2))
    assert len(staged.records["operations"]) == 2


def test_a_repeated_bad_row_is_quarantined_once() -> None:
    assert len(_transform(operation(Id=None), operation(Id=None)).bad_rows) == 1


def test_a_table_without_records_is_left_out() -> None:
    assert _transform().records == {}


@pytest.mark.parametrize(
    ("phone", "kept"),
    [(b"9161234567", 9161234567), (b'"9161234567"', 9161234567), (b"0", None), (b"null", None)],
)
def test_the_envelope_has_the_phone_and_0_means_none(phone: bytes, kept: int | None) -> None:
    staged = _transform(envelope=b'{"Client":7,"Phone":%s,"Card":70}' % phone)
    assert staged.records == {"clients": [ClientRecord(7, None, None, None, kept, None)]}


@pytest.mark.parametrize("envelope", [b"{}", b'{"Client":7,"Card":70}'])
def test_an_envelope_without_a_phone_lands_nothing(envelope: bytes) -> None:
    staged = _transform(envelope=envelope)
    assert (staged.records, staged.bad_rows) == ({}, [])


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (b'{"Phone":"secret"}', "Phone: Expected `int | null`, got `str`"),
        (b'{"Phone":9223372036854775808}', "Phone: Expected `int` <= 9223372036854775807"),
        (b"[", "the header: malformed JSON"),
    ],
)
def test_an_envelope_that_does_not_fit_is_quarantined_and_the_rows_land(
    envelope: bytes, reason: str
) -> None:
    staged = _transform(operation(), envelope=envelope)
    assert list(staged.records) == ["operations"]
    (bad_row,) = staged.bad_rows
    assert (bad_row.table, bad_row.client_id, bad_row.context) == ("clients", 7, "header")
    assert bad_row.reason == reason
    assert bad_row.digest == blake2b(envelope, digest_size=16).digest()


def _amounts(staged: StagedRows) -> list[object]:
    index = OperationRecord._fields.index("amount")
    return [record[index] for record in staged.records["operations"]]
