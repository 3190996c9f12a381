"""The favourite product: the offers and the goods of each.

Goods are requested offer by offer. `goods_read` is false for an offer whose goods were not read;
otherwise the publish would treat its goods as deleted.
"""

from datetime import date, datetime
from functools import partial
from typing import NamedTuple

from lcm_pipeline.model import tables
from lcm_pipeline.model.payloads import FavouriteGood, FavouriteOffer
from lcm_pipeline.model.tasks import ClientRows, StagedRows
from lcm_pipeline.transform.favourite_envelope import add_favourite_envelope
from lcm_pipeline.transform.staged_rows import StagedRowsBuilder
from lcm_pipeline.transform.values import parse_dated_moment, parse_moment, require


class FavouriteOfferRecord(NamedTuple):
    """One time that a client was offered a favourite product."""

    offer_date: date
    client_id: int
    favourite_id: int
    offered_at: datetime
    confirm_until: datetime | None
    is_confirmed: bool | None
    confirmed_at: datetime | None
    active_until: datetime | None
    is_inactive: bool | None
    goods_read: bool
    extra: str | None


class FavouriteGoodRecord(NamedTuple):
    """One of the goods of an offer; code, name and image fill the table of goods."""

    client_id: int
    favourite_id: int
    list_data_id: int
    is_inactive: bool | None
    code: str | None
    good_name: str | None
    image_url: str | None
    extra: str | None


def transform_favourites(client: ClientRows) -> StagedRows:
    """Transform one client's offers, their goods and, if there is one to stage, the envelope."""
    client_id = client.client_id
    builder = StagedRowsBuilder(client_id)
    builder.add_rows(
        tables.favourite_offers, client.rows, FavouriteOffer, partial(_to_offer, client)
    )
    for favourite_id, good_rows in client.details.items():
        builder.add_rows(
            tables.favourite_goods,
            good_rows,
            FavouriteGood,
            partial(_to_good, client_id, favourite_id),
            context=str(favourite_id),
        )
    if client.envelope is None:
        builder.omit(tables.favourite_groups, tables.favourite_stats)
    else:
        add_favourite_envelope(builder, client_id, client.envelope, client.snapshot_date)
    return builder.finish()


def _to_offer(client: ClientRows, offer: FavouriteOffer, extra: str | None) -> FavouriteOfferRecord:
    favourite_id = require(offer.Id, "Id")
    offered_at, offer_date = parse_dated_moment(
        offer.ProcTime, "ProcTime", client.zone, client.latest
    )
    return FavouriteOfferRecord(
        offer_date=offer_date,
        client_id=client.client_id,
        favourite_id=favourite_id,
        offered_at=offered_at,
        confirm_until=parse_moment(offer.ConfirmDateEnd, "ConfirmDateEnd"),
        is_confirmed=offer.Confirm,
        confirmed_at=parse_moment(offer.ProcTimeConfirm, "ProcTimeConfirm"),
        active_until=parse_moment(offer.ActionDateEnd, "ActionDateEnd"),
        is_inactive=offer.NoActive,
        goods_read=favourite_id in client.details,
        extra=extra,
    )


def _to_good(
    client_id: int, favourite_id: int, good: FavouriteGood, extra: str | None
) -> FavouriteGoodRecord:
    return FavouriteGoodRecord(
        client_id=client_id,
        favourite_id=favourite_id,
        list_data_id=require(good.ListDataId, "ListDataId"),
        is_inactive=good.NoActive,
        code=good.Code,
        good_name=good.Name,
        image_url=good.UrlImage,
        extra=extra,
    )
