"""The transform of registrations and of their clients."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from lcm_pipeline.model.tasks import StagedRows
from lcm_pipeline.transform.registrations import (
    ClientRecord,
    RegistrationRecord,
    registered_on,
    transform_registrations,
)
from lcm_pipeline.transform.values import LAST_DAY
from tests.unit.transform_rows import MOSCOW, NOON, registration

DAY = date(2026, 3, 4)
MOMENT = datetime(2026, 3, 4, 9, tzinfo=UTC)


def _transform(*rows: Any) -> StagedRows:
    return transform_registrations(DAY, rows, MOSCOW, LAST_DAY)


def test_a_registration_lands_with_its_client() -> None:
    row = registration(
        OutNumber=77, Virtual=True, Card_Type="", Card_Status="Активна", RegPos=9, RegPosName="ТЦ"
    )
    staged = _transform(row)
    assert staged.bad_rows == []
    assert staged.records == {
        "registrations": [
            RegistrationRecord(DAY, 7, 70, MOMENT, 77, True, "", "Активна", 9, "ТЦ", None)
        ],
        "clients": [ClientRecord(7, MOMENT, DAY, 9, None, None)],
    }


def test_a_client_with_two_cards_lands_once_as_of_the_earlier() -> None:
    later = registration(Card=71, RegDate="2026-03-04T18:00:00", RegPos=1)
    earlier = registration(Card=70, RegPos=2)
    for rows in ((later, earlier), (earlier, later)):
        staged = _transform(*rows)
        assert len(staged.records["registrations"]) == 2
        assert staged.records["clients"] == [ClientRecord(7, MOMENT, DAY, 2, None, None)]


def test_of_two_cards_of_one_moment_the_known_point_of_sale_is_used() -> None:
    staged = _transform(registration(Card=70), registration(Card=71, RegPos=2))
    assert staged.records["clients"] == [ClientRecord(7, MOMENT, DAY, 2, None, None)]


@pytest.mark.parametrize(
    "fields",
    [
        {"Card": None},
        {"Card": "x"},
        {"Card_Type": 5},
        {"Card_Status": "a\0b"},
        {"OutNumber": 2**64},
        {"RegPosName": ["x"]},
    ],
)
def test_a_quarantined_registration_still_lands_its_client(fields: dict[str, Any]) -> None:
    staged = _transform(registration(RegPos=9, **fields))
    assert staged.records == {"clients": [ClientRecord(7, MOMENT, DAY, 9, None, None)]}
    (bad_row,) = staged.bad_rows
    assert (bad_row.table, bad_row.client_id, bad_row.day) == (
        "registrations",
        7,
        date(2026, 3, 4),
    )
    assert next(iter(fields)) in bad_row.reason


def test_a_point_of_sale_that_does_not_fit_does_not_lose_the_client() -> None:
    staged = _transform(registration(RegPos="x"))
    assert staged.records == {"clients": [ClientRecord(7, MOMENT, DAY, None, None, None)]}


@pytest.mark.parametrize("client", [None, "x", 0, -1, 2**63])
def test_a_registration_without_a_client_is_quarantined_without_one(client: Any) -> None:
    staged = _transform(registration(Client=client))
    assert staged.records == {}
    assert [row.client_id for row in staged.bad_rows] == [None]


@pytest.mark.parametrize(
    "moment", [None, "", "0001-01-01T00:00:00", "soon", 5, "9999-12-31T23:59:59"]
)
def test_a_registration_without_a_readable_moment_is_quarantined(moment: Any) -> None:
    row = registration(RegDate=moment)
    assert registered_on(row, MOSCOW, LAST_DAY) is None
    staged = _transform(row)
    assert staged.records == {}
    (bad_row,) = staged.bad_rows
    assert (bad_row.client_id, bad_row.day) == (7, date(2026, 3, 4))
    assert "RegDate" in bad_row.reason


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (NOON, DAY),
        ("2026-03-04T23:59:59.9999999", DAY),
        ("2026-03-03T21:00:00Z", DAY),
        ("2026-03-04T21:00:00Z", date(2026, 3, 5)),
        ("2010-07-01T20:00:00Z", date(2010, 7, 2)),
    ],
)
def test_a_row_belongs_to_the_business_day_of_its_moment(moment: str, day: date) -> None:
    row = registration(RegDate=moment)
    assert registered_on(row, MOSCOW, LAST_DAY) == day
    (record,) = transform_registrations(day, [row], MOSCOW, LAST_DAY).records["registrations"]
    assert record[0] == day


def test_the_day_of_a_bad_row_is_known() -> None:
    assert registered_on(registration(Card="x"), MOSCOW, LAST_DAY) == DAY


def test_a_repeated_card_with_another_moment_is_a_conflict() -> None:
    staged = _transform(registration(), registration(RegDate="2026-03-04T13:00:00"))
    assert len(staged.records["registrations"]) == 1
    assert "its key occurred before" in staged.bad_rows[0].reason
