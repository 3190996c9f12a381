"""The transform of favourites: offers, their goods, and the numbers and groups of the envelope."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.tasks import StagedRows
from lcm_pipeline.transform.favourite_envelope import FavouriteGroupRecord, FavouriteStatsRecord
from lcm_pipeline.transform.favourites import (
    FavouriteGoodRecord,
    FavouriteOfferRecord,
    transform_favourites,
)
from tests.unit.transform_rows import client_rows, good, offer, to_json

DAY = date(2026, 3, 4)
SNAPSHOT = date(2026, 3, 6)
NUMBERS: dict[str, Any] = {
    "MaxLinkGoods": 1, "NowLinkGoods": 2, "RemainLinkGoods": 3, "RemainCountPurchases": 4,
    "RemainGain": Decimal("5.5"), "RemainEveryGain": Decimal("6.25"), "CountOffer": 7,
    "CountConfirm": 8, "CountPurchases": 9, "SumGain": Decimal("10"),
    "AvgFavorite": Decimal("11.005"), "AvgAll": Decimal("12.3333333"), "GroupFavorites": None,
}  # fmt: skip

COLUMNS = [
    "max_link_goods", "now_link_goods", "remain_link_goods", "remain_count_purchases",
    "remain_gain", "remain_every_gain", "count_offer", "count_confirm", "count_purchases",
    "sum_gain", "avg_favourite", "avg_all",
]  # fmt: skip


def _transform(
    *rows: SourceRow,
    envelope: dict[str, Any] | bytes | None = None,
    goods: Mapping[int, Sequence[SourceRow]] | None = None,
) -> StagedRows:
    sent = to_json(envelope) if isinstance(envelope, dict) else envelope
    return transform_favourites(
        client_rows(rows, envelope=sent, details=goods or {}, snapshot_date=SNAPSHOT)
    )


def test_every_field_of_an_offer_has_its_column() -> None:
    row = offer(
        ConfirmDateEnd="2026-03-05T12:00:00", Confirm=True, ProcTimeConfirm="2026-03-04T13:00:00",
        ActionDateEnd="0001-01-01T00:00:00", NoActive=False,
    )  # fmt: skip
    staged = _transform(row)
    assert staged.bad_rows == []
    assert staged.records == {
        "favourite_offers": [
            FavouriteOfferRecord(
                offer_date=DAY, client_id=7, favourite_id=4,
                offered_at=datetime(2026, 3, 4, 9, tzinfo=UTC),
                confirm_until=datetime(2026, 3, 5, 9, tzinfo=UTC), is_confirmed=True,
                confirmed_at=datetime(2026, 3, 4, 10, tzinfo=UTC), active_until=None,
                is_inactive=False, goods_read=False, extra=None,
            )
        ]
    }  # fmt: skip


def test_an_offer_records_whether_its_goods_were_read_even_without_goods() -> None:
    staged = _transform(offer(Id=4), offer(Id=5), offer(Id=6), goods={4: [good()], 6: []})
    flags = {
        record.favourite_id: record.goods_read
        for record in staged.records["favourite_offers"]
        if isinstance(record, FavouriteOfferRecord)
    }
    assert flags == {4: True, 5: False, 6: True}


def test_goods_belong_to_the_offer_they_were_requested_for() -> None:
    rows = [good(Code="К", UrlImage="", NoActive=True)]
    staged = _transform(offer(Id=4), goods={4: rows, 5: rows})
    assert staged.records["favourite_goods"] == [
        FavouriteGoodRecord(7, 4, 8, True, "К", "Кофе", "", None),
        FavouriteGoodRecord(7, 5, 8, True, "К", "Кофе", "", None),
    ]


def test_a_good_listed_twice_lands_once() -> None:
    staged = _transform(goods={4: [good(Id=1), good(Id=2)]})
    assert len(staged.records["favourite_goods"]) == 1
    assert staged.bad_rows == []


def test_a_good_listed_twice_with_other_names_is_a_conflict() -> None:
    staged = _transform(goods={4: [good(), good(Name="Чай")]})
    assert len(staged.records["favourite_goods"]) == len(staged.bad_rows) == 1


def test_a_bad_good_is_quarantined_with_its_offer() -> None:
    staged = _transform(goods={4: [good(ListDataId=None)]})
    (bad_row,) = staged.bad_rows
    assert (bad_row.table, bad_row.context) == ("favourite_goods", "4")
    assert bad_row.reason == "ListDataId: missing"


def test_the_envelope_has_the_twelve_numbers_with_rounded_averages() -> None:
    staged = _transform(envelope=NUMBERS)
    assert staged.bad_rows == []
    assert staged.records == {
        "favourite_stats": [
            FavouriteStatsRecord(
                snapshot_date=SNAPSHOT, client_id=7, max_link_goods=1, now_link_goods=2,
                remain_link_goods=3, remain_count_purchases=4, remain_gain=Decimal("5.5"),
                remain_every_gain=Decimal("6.25"), count_offer=7, count_confirm=8,
                count_purchases=9, sum_gain=Decimal(10), avg_favourite=Decimal("11.01"),
                avg_all=Decimal("12.33"), present=COLUMNS, has_groups=True, extra=None,
            )
        ]
    }  # fmt: skip


def test_a_null_number_counts_as_sent_and_an_absent_one_does_not() -> None:
    staged = _transform(envelope={"CountOffer": None, "SumGain": 0})
    (record,) = staged.records["favourite_stats"]
    assert isinstance(record, FavouriteStatsRecord)
    assert record[:2] == (SNAPSHOT, 7)
    assert (record.count_offer, record.sum_gain) == (None, 0)
    assert (record.present, record.has_groups) == (["count_offer", "sum_gain"], False)
    assert staged.omitted_tables == {"favourite_groups"}


def test_an_envelope_of_groups_alone_leaves_the_numbers_unknown() -> None:
    staged = _transform(envelope={"GroupFavorites": [{"Id": 1}]})
    assert len(staged.records["favourite_groups"]) == 1
    (record,) = staged.records["favourite_stats"]
    assert isinstance(record, FavouriteStatsRecord)
    assert (record.present, record.has_groups) == ([], True)
    assert staged.omitted_tables == {"favourite_stats"}


@pytest.mark.parametrize("envelope", [{}, {"ListFavorites": []}, None])
def test_an_envelope_without_stored_members_lands_nothing(
    envelope: dict[str, Any] | None,
) -> None:
    staged = _transform(envelope=envelope)
    assert staged.records == {}
    assert staged.omitted_tables == {"favourite_groups", "favourite_stats"}


def test_an_envelope_that_is_not_to_be_staged_adds_nothing() -> None:
    assert _transform(envelope=None).records == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("CountOffer", 2**31, "CountOffer: Expected `int` <= 2147483647"),
        ("CountOffer", "many", "CountOffer: Expected `int | null`, got `str`"),
        ("SumGain", "NaN", "SumGain: not within numeric(19,2)"),
        ("SumGain", Decimal("1.005"), "SumGain: more than two decimals"),
        ("AvgAll", "1E+50", "AvgAll: not within numeric(19,2)"),
        ("AvgAll", True, "AvgAll: Expected `decimal | null`, got `bool`"),
        ("GroupFavorites", 5, "GroupFavorites: Expected `array | null`, got `int`"),
    ],
)
def test_a_number_that_does_not_fit_affects_nothing_else(
    name: str, value: Any, reason: str
) -> None:
    staged = _transform(envelope={**NUMBERS, name: value})
    (bad_row,) = staged.bad_rows
    assert (bad_row.table, bad_row.context, bad_row.reason) == ("favourite_stats", "header", reason)
    (record,) = staged.records["favourite_stats"]
    assert isinstance(record, FavouriteStatsRecord)
    assert record.now_link_goods == 2
    present = [*record.present, "groups"] if record.has_groups else record.present
    assert len(present) == 12


def test_two_numbers_that_do_not_fit_make_one_entry() -> None:
    (bad_row,) = _transform(envelope={**NUMBERS, "SumGain": "x", "CountOffer": "y"}).bad_rows
    assert bad_row.reason.startswith("CountOffer: ")
    assert "; SumGain: " in bad_row.reason


def test_an_envelope_that_is_not_json_lands_nothing() -> None:
    staged = _transform(offer(), envelope=b"<html>")
    assert list(staged.records) == ["favourite_offers"]
    assert [row.reason for row in staged.bad_rows] == ["the header: malformed JSON"]


def test_the_goods_chosen_become_groups() -> None:
    groups = [{"Id": 1, "Name": "", "CountSelect": 3}, {"Id": 2, "Rank": 5}]
    staged = _transform(envelope={**NUMBERS, "GroupFavorites": groups})
    assert staged.records["favourite_groups"] == [
        FavouriteGroupRecord(7, 1, "", 3, None),
        FavouriteGroupRecord(7, 2, None, None, '{"Rank":5}'),
    ]
    assert staged.unknown_fields == {"Rank"}


def test_a_bad_group_is_quarantined_and_the_rest_lands() -> None:
    groups = [{"Name": "x"}, {"Id": 2}]
    staged = _transform(envelope={**NUMBERS, "GroupFavorites": groups})
    assert len(staged.records["favourite_groups"]) == 1
    (bad_row,) = staged.bad_rows
    assert (bad_row.table, bad_row.context, bad_row.reason) == (
        "favourite_groups",
        "header",
        "Id: missing",
    )
    assert bad_row.raw == '{"Name":"x"}'
