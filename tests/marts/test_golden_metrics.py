"""Metrics of the dashboards over a period equal the golden answers, computed from the programme."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from lcm_pipeline.superset.definition import dashboards_folder, read_definition
from tests.marts.golden import Golden, day_of, month_of, share, total
from tests.marts.worlds import Synced

# Neither a whole week nor a month, and stores together: no row of a mart is the answer.
FIRST, LAST = date(2026, 2, 11), date(2026, 3, 20)
MONTHS = (date(2026, 2, 1), date(2026, 3, 1))
DEFINITION = read_definition(dashboards_folder() / "definition", "en")


def _within(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["day"] >= FIRST) & (frame["day"] <= LAST)]


def _in_months(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["day"].map(month_of).isin(MONTHS)]


def _rows(golden: Golden, name: str, day: str) -> list[dict[str, Any]]:
    return [row for row in golden.truth[name] if FIRST <= (day_of(row[day]) or date.max) <= LAST]


def _refunds(golden: Golden) -> pd.DataFrame:
    cheques = _within(golden.cheques)
    return cheques[cheques["refund"].astype(bool)]


def _refund_rate(golden: Golden) -> Any:
    back = total(abs(amount) for amount in _refunds(golden)["amount"])
    return share(back, total(_within(golden.purchases)["amount"]), 6)


def _buyers_a_day(golden: Golden) -> Any:
    by_day = _within(golden.purchases).groupby("day")["client"].nunique()
    return share(int(by_day.sum()), (LAST - FIRST).days + 1, 6)


def _burden(golden: Golden) -> Any:
    bought = _within(golden.purchases)
    paid = [total(bought[name]) for name in ("discount", "redeemed", "certificate")]
    return share(sum(paid), total(bought["amount"]), 6)


def _bought_share(golden: Golden) -> Any:
    joined = _within(golden.members)
    joined = joined[joined["day"].map(lambda day: day + timedelta(30) <= golden.last)]
    first = {client: min(bought["day"]) for client, bought in golden.purchases.groupby("client")}
    waits = [(first.get(row["client"], date.max) - row["day"]).days
             for row in joined.to_dict("records")]  # fmt: skip
    return share(sum(wait <= 30 for wait in waits), len(waits), 6)


def _not_from_purchases(golden: Golden) -> Any:
    lots = _within(golden.lots)
    return share(total(lots[lots["source"] != 1]["added"]), total(lots["added"]), 6)


def _confirmed_share(golden: Golden) -> Any:
    offers = _rows(golden, "favourite_offers", "ProcTime")
    return share(sum(bool(offer["Confirm"]) for offer in offers), len(offers), 6)


def _marked_share(golden: Golden) -> Any:
    leads = _rows(golden, "leads", "ProcTime")
    return share(sum(bool(lead["LeadMarkName"]) for lead in leads), len(leads), 6)


def _redeemer_rate(golden: Golden) -> Any:
    """A client counts once in each month and store."""
    bought = _in_months(golden.purchases)
    # pandas leaves out groups without a store.
    stores = bought["pos"].map(lambda pos: pos or 0)
    bought = bought.assign(month=bought["day"].map(month_of), pos=stores)
    used = bought[bought["redeemed"] > 0]
    pairs = [len(each.groupby(["month", "pos", "client"])) for each in (used, bought)]
    return share(*pairs, 6)


def _days_to_first(golden: Golden) -> Any:
    used = golden.purchases[golden.purchases["redeemed"] > 0].drop_duplicates("client")
    joined = dict(zip(golden.members["client"], golden.members["day"], strict=True))
    waits = [(row["day"] - joined[row["client"]]).days
             for row in _in_months(used).to_dict("records")]  # fmt: skip
    return share(sum(waits), len(waits), 6)


def _arppu(golden: Golden) -> Any:
    bought = _in_months(golden.purchases)
    buyers = len(bought.assign(month=bought["day"].map(month_of)).groupby(["month", "client"]))
    return share(total(_in_months(golden.cheques)["net"]), buyers, 6)


EXPECTED: dict[str, Callable[[Golden], Any]] = {
    "program_daily.new_members": lambda golden: len(_within(golden.members)),
    "program_daily.members": lambda golden: int((golden.members["day"] <= LAST).sum()),
    "program_daily.purchases": lambda golden: len(_within(golden.purchases)),
    "program_daily.net_sales": lambda golden: total(_within(golden.cheques)["net"]),
    "program_daily.buyers_a_day": _buyers_a_day,
    "program_daily.points_added": lambda golden: total(_within(golden.lots)["added"]),
    "program_daily.active_balance": lambda golden: total(
        golden.outstanding(LAST)[~golden.pending(golden.outstanding(LAST), LAST)]["remain"]
    ),
    "store_daily.net_sales": lambda golden: total(_within(golden.cheques)["net"]),
    "store_daily.average_cheque": lambda golden: share(
        total(_within(golden.purchases)["amount"]), len(_within(golden.purchases)), 6
    ),
    "refunds.rate_by_count": lambda golden: share(
        len(_refunds(golden)), len(_within(golden.purchases)), 6
    ),
    "refunds.rate_by_amount": _refund_rate,
    "discount_burden.burden": _burden,
    "enrolment_daily.bought_share": _bought_share,
    "earn_mix.share_not_from_purchases": _not_from_purchases,
    "favourite_uptake.confirmed_share": _confirmed_share,
    "leads_daily.marked_share": _marked_share,
    "redemption.redemption_rate": lambda golden: share(
        total(_in_months(golden.cheques)["redeemed"]), total(_in_months(golden.lots)["added"]), 6
    ),
    "redemption.redeemer_rate": _redeemer_rate,
    "redemption.days_to_first": _days_to_first,
    # Over all goods, a month counts once.
    "favourite_goods_monthly.months": lambda golden: Decimal(
        len({row["month"] for row in golden.favourite_goods_monthly()} & set(MONTHS))
    ),
    "repeat_purchase.arppu": _arppu,
    "repeat_purchase.average_cheque": lambda golden: share(
        total(_in_months(golden.purchases)["amount"]), len(_in_months(golden.purchases)), 6
    ),
}


@pytest.fixture(scope="module")
def golden(by_chance: Synced) -> Golden:
    return by_chance.golden


@pytest.mark.parametrize("metric", EXPECTED)
def test_a_metric_over_a_period_gives_the_golden_answer(
    metric: str, by_chance: Synced, golden: Golden
) -> None:
    mart, _, name = metric.partition(".")
    use = DEFINITION.layer.marts[mart]
    first, last = MONTHS if use.is_monthly else (FIRST, LAST)
    with by_chance.warehouse.connect() as session:
        row = session.execute(
            f"select {use.metrics[name].sql} from mart.{mart}"
            f" where {use.time} between %s and %s".encode(),
            (first, last),
        ).fetchone()
    assert row is not None
    expected = EXPECTED[metric](golden)
    assert expected
    # A mart has averages with two digits.
    most = Decimal("0.00001") if use.metrics[name].format == "share" else Decimal("0.005")
    assert abs(Decimal(row[0]) - Decimal(expected)) <= most
