"""The envelope of a client's offers: twelve numbers and the groups of goods chosen.

Averages have any number of decimals and are rounded. Sums are money: more than two decimals are a
fault.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from lcm_pipeline.model import tables
from lcm_pipeline.model.payloads import FavouriteGroup
from lcm_pipeline.transform.envelope import ENVELOPE, INT32, ROWS, EnvelopeReader, to_source_row
from lcm_pipeline.transform.staged_rows import StagedRowsBuilder
from lcm_pipeline.transform.values import require, to_average, to_money


class FavouriteGroupRecord(NamedTuple):
    """Goods that a client chose, and how often."""

    client_id: int
    group_id: int
    group_name: str | None
    select_count: int | None
    extra: str | None


class FavouriteStatsRecord(NamedTuple):
    """The twelve numbers in the envelope of a client's offers, as of the day they were read.

    present: the columns whose numbers the response contains; the others are None, and stored values
    stay. has_groups: the response contains the list of groups, which may be empty.
    """

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
    present: list[str]
    has_groups: bool
    extra: str | None


def add_favourite_envelope(
    builder: StagedRowsBuilder, client_id: int, envelope: bytes, snapshot_date: date
) -> None:
    """Add the numbers and the groups; a member that does not fit is set aside.

    A member that is absent, or does not fit, is left out: the stored value stays.
    """
    reader = EnvelopeReader(envelope)
    groups = [to_source_row(bytes(raw)) for raw in reader.read(GROUPS, ROWS) or ()]
    to_group = partial(_to_group, client_id)
    builder.add_rows(tables.favourite_groups, groups, FavouriteGroup, to_group, context=ENVELOPE)
    numbers = {column: read(reader, name) for name, (column, read) in _NUMBERS.items()}
    present = [column for name, (column, _) in _NUMBERS.items() if name in reader.present]
    has_groups = GROUPS in reader.present
    if present or has_groups:
        stats = FavouriteStatsRecord(
            snapshot_date, client_id, **numbers, present=present, has_groups=has_groups, extra=None
        )
        builder.add_record(tables.favourite_stats, stats)
    if not present:
        builder.omit(tables.favourite_stats)
    if not has_groups:
        builder.omit(tables.favourite_groups)
    if reader.faults:
        row = to_source_row(envelope)
        builder.quarantine(tables.favourite_stats, row, reader.reason, context=ENVELOPE)


def _read_count(reader: EnvelopeReader, name: str) -> int | None:
    return reader.read(name, INT32)


def _read_money(reader: EnvelopeReader, name: str) -> Decimal | None:
    return reader.read_amount(name, to_money)


def _read_average(reader: EnvelopeReader, name: str) -> Decimal | None:
    return reader.read_amount(name, to_average)


GROUPS = "GroupFavorites"
# The member of the envelope, and how its column is filled.
_NUMBERS: dict[str, tuple[str, Callable[[EnvelopeReader, str], Any]]] = {
    "MaxLinkGoods": ("max_link_goods", _read_count),
    "NowLinkGoods": ("now_link_goods", _read_count),
    "RemainLinkGoods": ("remain_link_goods", _read_count),
    "RemainCountPurchases": ("remain_count_purchases", _read_count),
    "RemainGain": ("remain_gain", _read_money),
    "RemainEveryGain": ("remain_every_gain", _read_money),
    "CountOffer": ("count_offer", _read_count),
    "CountConfirm": ("count_confirm", _read_count),
    "CountPurchases": ("count_purchases", _read_count),
    "SumGain": ("sum_gain", _read_money),
    "AvgFavorite": ("avg_favourite", _read_average),
    "AvgAll": ("avg_all", _read_average),
}
MEMBERS = frozenset((*_NUMBERS, GROUPS))


def _to_group(client_id: int, group: FavouriteGroup, extra: str | None) -> FavouriteGroupRecord:
    return FavouriteGroupRecord(
        client_id=client_id,
        group_id=require(group.Id, "Id"),
        group_name=group.Name,
        select_count=group.CountSelect,
        extra=extra,
    )
