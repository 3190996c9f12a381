"""What stands beside a client's offers: twelve numbers and the goods chosen.

The surprising fact: the averages come with any number of decimals and are rounded; the sums are
money, and more than two decimals of theirs are a fault.
"""

from datetime import date
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from lcm_pipeline.model import tables
from lcm_pipeline.model.payloads import FavouriteGroup
from lcm_pipeline.transform.headers import HEADER, INT32, ROWS, HeaderReader, to_source_row
from lcm_pipeline.transform.landing import LandingDraft
from lcm_pipeline.transform.values import require, to_average, to_money


class FavouriteGroupRecord(NamedTuple):
    """Goods that a client chose, and how often."""

    client_id: int
    group_id: int
    group_name: str | None
    select_count: int | None
    extra: str | None


class FavouriteStatsRecord(NamedTuple):
    """The twelve numbers beside a client's offers, as of the day they were read."""

    snapshot_date: date
    client_id: int
    max_link_goods: int | None
    now_link_goods: int | None
    remain_link_goods: int | None
    remain_count_purchases: int | None
    remain_gain: Decimal | None
    remain_every_gain: Decimal | None
    count_offer: int | None
    count_confirm: int | None
    count_purchases: int | None
    sum_gain: Decimal | None
    avg_favourite: Decimal | None
    avg_all: Decimal | None
    extra: str | None


def land_favourite_header(
    draft: LandingDraft, client_id: int, header: bytes, snapshot_date: date
) -> None:
    """Land the numbers and the goods chosen; what does not fit is set aside, the rest stays."""
    reader = HeaderReader(header)
    if not reader.faults:
        draft.add(tables.favourite_stats, _read_stats(reader, client_id, snapshot_date))
    groups = [to_source_row(bytes(raw)) for raw in reader.read("GroupFavorites", ROWS) or ()]
    to_group = partial(_to_group, client_id)
    draft.land(tables.favourite_groups, groups, FavouriteGroup, to_group, context=HEADER)
    if reader.faults:
        row = to_source_row(header)
        draft.set_aside(tables.favourite_stats, row, reader.reason, context=HEADER)


def _read_stats(reader: HeaderReader, client_id: int, snapshot_date: date) -> FavouriteStatsRecord:
    return FavouriteStatsRecord(
        snapshot_date=snapshot_date,
        client_id=client_id,
        max_link_goods=reader.read("MaxLinkGoods", INT32),
        now_link_goods=reader.read("NowLinkGoods", INT32),
        remain_link_goods=reader.read("RemainLinkGoods", INT32),
        remain_count_purchases=reader.read("RemainCountPurchases", INT32),
        remain_gain=reader.read_amount("RemainGain", to_money),
        remain_every_gain=reader.read_amount("RemainEveryGain", to_money),
        count_offer=reader.read("CountOffer", INT32),
        count_confirm=reader.read("CountConfirm", INT32),
        count_purchases=reader.read("CountPurchases", INT32),
        sum_gain=reader.read_amount("SumGain", to_money),
        avg_favourite=reader.read_amount("AvgFavorite", to_average),
        avg_all=reader.read_amount("AvgAll", to_average),
        extra=None,
    )


def _to_group(client_id: int, group: FavouriteGroup, extra: str | None) -> FavouriteGroupRecord:
    return FavouriteGroupRecord(
        client_id=client_id,
        group_id=require(group.Id, "Id"),
        group_name=group.Name,
        select_count=group.CountSelect,
        extra=extra,
    )
