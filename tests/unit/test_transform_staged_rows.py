"""Rules for all feeds: records fit their tables, and every row lands or is quarantined."""

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lcm_pipeline.model import tables
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    CLIENT_INFO_PERIOD,
    FAVOURITE_GOODS,
    LEADS_PAGING_INFO,
    OPERATION_HISTORY,
    Endpoint,
)
from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.model.tasks import StagedRows
from lcm_pipeline.transform.favourite_envelope import FavouriteGroupRecord, FavouriteStatsRecord
from lcm_pipeline.transform.favourites import (
    FavouriteGoodRecord,
    FavouriteOfferRecord,
    transform_favourites,
)
from lcm_pipeline.transform.leads import LeadRecord, transform_leads
from lcm_pipeline.transform.operations import OperationRecord, transform_operations
from lcm_pipeline.transform.registrations import (
    ClientRecord,
    RegistrationRecord,
    transform_registrations,
)
from lcm_pipeline.transform.values import LAST_DAY
from tests.unit.transform_rows import MOSCOW, client_rows, raw_row

DAY = date(2026, 3, 4)

# Hypothesis builds its Unicode tables once, which may exceed its deadline on a busy machine.
without_deadline = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

RECORDS: dict[str, type[Any]] = {
    "registrations": RegistrationRecord,
    "operations": OperationRecord,
    "leads": LeadRecord,
    "favourite_offers": FavouriteOfferRecord,
    "favourite_goods": FavouriteGoodRecord,
    "favourite_groups": FavouriteGroupRecord,
    "favourite_stats": FavouriteStatsRecord,
    "clients": ClientRecord,
}

Feed = tuple[str, Endpoint[Any, Any], Callable[[SourceRow], StagedRows]]
FEEDS: list[Feed] = [
    (
        "registrations",
        CLIENT_INFO_PERIOD,
        lambda row: transform_registrations(DAY, [row], MOSCOW, LAST_DAY),
    ),
    (
        "operations",
        OPERATION_HISTORY,
        lambda row: transform_operations(client_rows([row], envelope=None)),
    ),
    ("leads", LEADS_PAGING_INFO, lambda row: transform_leads(client_rows([row]))),
    (
        "favourite_offers",
        CLIENT_FAVORITE_DATA_INFO,
        lambda row: transform_favourites(client_rows([row], snapshot_date=DAY)),
    ),
    (
        "favourite_goods",
        FAVOURITE_GOODS,
        lambda row: transform_favourites(client_rows([], details={4: [row]}, snapshot_date=DAY)),
    ),
]


@pytest.mark.parametrize("table", tables.CORE_TABLES, ids=lambda table: table.name)
def test_a_record_has_the_staging_columns_of_its_table(table: CoreTable) -> None:
    assert RECORDS[table.name]._fields == table.staging_columns


_ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["", "NaN", "1e999999999", "12", "true", "null", "a\0b", "\ud800", "\\u0000"]),
    st.sampled_from(["0001-01-01T00:00:00", "9999-12-31T23:59:59.9999999", "1752-12-31T00:00:00"]),
    st.datetimes().map(datetime.isoformat),
    st.recursive(st.integers(), lambda inner: st.lists(inner, max_size=2), max_leaves=3),
)
_GOOD_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    str: st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1)).map(
        lambda moment: moment.isoformat() + "7"
    ),
    Decimal: st.integers(-(10**6), 10**6).map(lambda cents: cents / 100),
}


def _rows_of(row_type: type[msgspec.Struct]) -> st.SearchStrategy[bytes]:
    """Rows of a type, mostly valid, with some odd values and some unknown fields."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(row_type):
        kinds = [_GOOD_VALUES[kind] for kind in _GOOD_VALUES if kind | None == field.type]
        fields[field.name] = kinds[0] if kinds else st.integers(1, 255)
    good = st.fixed_dictionaries(fields)
    odd = st.dictionaries(st.sampled_from([*fields, "Odd", "a\0", "Ю"]), _ODD_VALUES, max_size=3)
    return st.builds(
        lambda row, changes, ascii_only: _to_json({**row, **changes}, ascii_only),
        good,
        odd,
        st.booleans(),
    )


def _to_json(row: dict[str, Any], ascii_only: bool) -> bytes:
    return json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed[0])
@without_deadline
@given(data=st.data())
def test_any_row_lands_or_is_quarantined(feed: Feed, data: st.DataObject) -> None:
    table_name, endpoint, transform = feed
    row_type = endpoint.row_type
    assert row_type is not None
    raw = data.draw(_rows_of(row_type) | st.binary(max_size=40), label="raw")
    row = raw_row(endpoint, raw)
    staged = transform(row)
    records = staged.records.get(table_name, [])
    assert len(records) + len(staged.bad_rows) == 1
    for record in (record for records in staged.records.values() for record in records):
        _assert_postgres_can_store(record)
    for bad_row in staged.bad_rows:
        assert (bad_row.table, bad_row.digest) == (table_name, row.digest)
        _assert_postgres_can_store((bad_row.raw, bad_row.reason, bad_row.context))


_HEADERS = st.dictionaries(
    st.sampled_from(["Phone", "SumGain", "CountOffer", "AvgAll", "GroupFavorites"]), _ODD_VALUES
)


@without_deadline
@given(_HEADERS)
def test_members_of_an_envelope_land_or_are_quarantined_and_absent_ones_stay(
    members: dict[str, Any],
) -> None:
    envelope = _to_json(members, True)
    # Half a surrogate pair makes the whole envelope unreadable.
    assume(b"ud800" not in envelope)
    phone = transform_operations(client_rows([], envelope=envelope))
    numbers = transform_favourites(client_rows([], envelope=envelope, snapshot_date=DAY))
    assert bool(phone.record_count + len(phone.bad_rows)) == ("Phone" in members)
    assert bool(numbers.record_count + len(numbers.bad_rows)) == bool(members.keys() - {"Phone"})
    if "GroupFavorites" not in members:
        assert "favourite_groups" in numbers.omitted_tables
    for staged in (phone, numbers):
        assert all(row.context == "header" for row in staged.bad_rows)


@given(st.binary(max_size=40))
def test_an_envelope_of_any_bytes_raises_nothing(envelope: bytes) -> None:
    transform_operations(client_rows([], envelope=envelope))
    transform_favourites(client_rows([], envelope=envelope, snapshot_date=DAY))


def _assert_postgres_can_store(record: tuple[object, ...]) -> None:
    for value in record:
        if isinstance(value, str):
            assert "\0" not in value
            value.encode()
        if isinstance(value, datetime):
            assert value.tzinfo is not None
        assert not isinstance(value, float)
