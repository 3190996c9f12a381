"""Each mart equals the golden answer, for the hand-made and for the random programme."""

import pytest

from tests.marts.comparing import assert_answer, read_mart
from tests.marts.golden import month_end
from tests.marts.worlds import Synced

KEYS = {
    "program_daily": ("day",),
    "points_liability_daily": ("day", "bonus_source", "expiry_month"),
    "points_expiring": ("client_id", "expiry_date"),
    "points_vintage": ("issue_month", "age_months"),
    "redemption": ("month", "pos_id"),
    "client_360": ("client_id",),
    "client_stores": ("client_id", "pos_id"),
    "rfm": ("client_id",),
    "cohort_retention": ("cohort_month", "month_number"),
    "activity_monthly": ("month", "pos_id", "card_type"),
    "repeat_purchase": ("month",),
    "enrolment_daily": ("day", "pos_id"),
    "store_daily": ("day", "partner_name", "pos_id"),
    "discount_burden": ("day", "pos_id"),
    "refunds": ("day", "pos_id"),
    "earn_mix": ("day", "bonus_source"),
    "favourite_uptake": ("day",),
    "favourite_goods_monthly": ("month", "list_data_id"),
    "leads_daily": ("day", "type_name", "source_name", "form_name"),
    "card_mix": ("day", "card_type", "card_status", "is_virtual"),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_mart_gives_the_golden_answer(name: str, synced: Synced) -> None:
    assert_answer(synced.warehouse, name, getattr(synced.golden, name)(), KEYS[name])


def test_liability_bridge_and_programme_agree_on_what_is_owed(synced: Synced) -> None:
    owed = {row["day"]: row["as_known_now"] for row in read_mart(synced.warehouse, "points_owed")}
    liability = dict.fromkeys(owed, 0)
    for row in read_mart(synced.warehouse, "points_liability_daily"):
        liability[row["day"]] += row["outstanding_points"]
    programme = {
        row["day"]: row["active_balance"] + row["pending_balance"]
        for row in read_mart(synced.warehouse, "program_daily")
        if row["day"] in owed
    }
    assert owed == liability == programme
    for month in read_mart(synced.warehouse, "points_bridge_monthly"):
        last = min(month_end(month["month"]), synced.last)
        assert month["closing"] == owed.get(last, 0)


def test_the_points_bridge_closes_in_a_random_programme(by_chance: Synced) -> None:
    golden = by_chance.golden
    months = sorted(
        read_mart(by_chance.warehouse, "points_bridge_monthly"), key=lambda m: m["month"]
    )
    assert [month["residual"] for month in months] == [0] * 3
    assert [month["is_whole_month"] for month in months] == [True, True, False]
    opening = 0
    for month in months:
        assert month["opening"] == opening
        opening = month["closing"]
        assert (
            month["opening"]
            + month["added"]
            - month["redeemed"]
            - month["expired"]
            - month["clawed_back"]
            + month["corrections"]
            + month["residual"]
            == month["closing"]
        )
    left = golden.outstanding(by_chance.last)["remain"].sum()
    assert months[-1]["closing"] == left
    assert sum(month["added"] for month in months) == golden.lots["added"].sum()
    assert sum(month["redeemed"] for month in months) == golden.cheques["redeemed"].sum()
    assert all(month["expired"] > 0 and month["clawed_back"] > 0 for month in months[1:])
    days = read_mart(by_chance.warehouse, "program_daily")
    assert sum(day["points_expired"] for day in days) == sum(m["expired"] for m in months)
