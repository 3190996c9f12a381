"""The tables of the warehouse as the vendor's documentation describes their rows.

Parses dates and money itself, and shares no code with the transform.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple


def moment_of(text: Any) -> datetime | None:
    """Convert a naive Moscow time to UTC; digits below the microsecond are dropped."""
    if not text or text.startswith("0001-"):
        return None
    seconds, _, fraction = text.partition(".")
    naive = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S")
    naive += timedelta(microseconds=int(fraction[:6].ljust(6, "0")) if fraction else 0)
    return (naive - timedelta(hours=3)).replace(tzinfo=UTC)


def money_of(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP)


def _same(value: Any) -> Any:
    return value


class Column(NamedTuple):
    """The column of a field, and how its value is converted."""

    field: str
    name: str
    read: Callable[[Any], Any] = _same


def _columns(text: str, read: Callable[[Any], Any] = _same) -> list[Column]:
    pairs = (pair.split(":") for pair in text.split())
    return [Column(field, column, read) for field, column in pairs]


@dataclass(frozen=True)
class Table:
    """One table: its columns, its key without the day, and the columns of the day and its time."""

    name: str
    columns: list[Column]
    key: tuple[str, ...]
    day: tuple[str, str] | None = None
    ignored: frozenset[str] = field(default_factory=frozenset)


TABLES = (
    Table(
        "registrations",
        _columns(
            "Client:client_id Card:card_number OutNumber:out_number Virtual:is_virtual"
            " Card_Type:card_type Card_Status:card_status RegPos:pos_id"
        )
        + _columns("RegDate:registered_at", moment_of),
        ("client_id", "card_number"),
        ("registration_date", "registered_at"),
        frozenset({"RegPosName"}),
    ),
    Table(
        "operations",
        _columns(
            "Client:client_id ComponentType:component_type Id:operation_id BonusId:bonus_id"
            " ChequeId:cheque_id ChequeNumber:cheque_number OrderId:order_id Parent:parent_id"
            " Pos:pos_id PartnerName:partner_name Refund:is_refund CouponNumber:coupon_number"
            " BonusSource:bonus_source Active:is_active"
        )
        + _columns("Proctime:processed_at ActiveDate:active_from ExpiryDate:expires_at", moment_of)
        + _columns(
            "Amount:amount Added:added Redeemed:redeemed Discount:discount"
            " SertRedeemed:certificate_redeemed Remain:remain",
            money_of,
        ),
        ("client_id", "component_type", "operation_id"),
        ("operation_date", "processed_at"),
        frozenset({"PosName", "BonusSourceName"}),
    ),
    Table(
        "leads",
        _columns(
            "Client:client_id Leads:lead_id Id:lead_row_id LeadSourceName:source_name"
            " LeadStatusName:status_name LeadTypeName:type_name FormName:form_name"
            " Subject:subject LeadMarkName:mark_name CountNotReadMessage:unread_count"
        )
        + _columns("ProcTime:created_at", moment_of),
        ("client_id", "lead_id"),
        ("lead_date", "created_at"),
    ),
    Table(
        "favourite_offers",
        _columns(
            "Client:client_id Id:favourite_id Confirm:is_confirmed NoActive:is_inactive",
        )
        + _columns(
            "ProcTime:offered_at ConfirmDateEnd:confirm_until ProcTimeConfirm:confirmed_at"
            " ActionDateEnd:active_until",
            moment_of,
        ),
        ("client_id", "favourite_id"),
        ("offer_date", "offered_at"),
    ),
    Table(
        "favourite_goods",
        _columns(
            "Client:client_id ClientFavoriteId:favourite_id ListDataId:list_data_id"
            " NoActive:is_inactive"
        ),
        ("client_id", "favourite_id", "list_data_id"),
        ignored=frozenset({"Id", "Name", "Code", "UrlImage"}),
    ),
    Table(
        "favourite_groups",
        _columns("Client:client_id Id:group_id Name:group_name CountSelect:select_count"),
        ("client_id", "group_id"),
    ),
    Table(
        "favourite_stats",
        _columns(
            "Client:client_id MaxLinkGoods:max_link_goods NowLinkGoods:now_link_goods"
            " RemainLinkGoods:remain_link_goods CountOffer:count_offer"
            " RemainCountPurchases:remain_count_purchases CountConfirm:count_confirm"
            " CountPurchases:count_purchases"
        )
        + _columns(
            "RemainGain:remain_gain RemainEveryGain:remain_every_gain SumGain:sum_gain"
            " AvgFavorite:avg_favourite AvgAll:avg_all",
            money_of,
        ),
        ("client_id",),
    ),
)
