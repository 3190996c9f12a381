"""What the warehouse holds: the core tables that a sync fills, their keys and their landing form.

The migrations make the tables; a test holds the two against each other. A column with
`info["landing_only"]` exists in staging alone: it feeds a dimension or steers the publish.
`covered_by` names what a reading must have covered before a row that it did
not bring may be marked as deleted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

MONEY = sa.Numeric(19, 2)
MOMENT = sa.DateTime(timezone=True)

metadata = sa.MetaData()


@dataclass(frozen=True)
class Coverage:
    """The scope of a proven reading: a relation of the publish and the columns that join it."""

    relation: str
    columns: tuple[str, ...]


WHOLE_CLIENTS = Coverage("covered_clients", ("client_id",))
WHOLE_DAYS = Coverage("covered_days", ("registration_date",))
WHOLE_HEADERS = Coverage("covered_headers", ("client_id",))
WHOLE_OFFERS = Coverage("covered_offers", ("client_id", "favourite_id"))


@dataclass(frozen=True)
class CoreTable:
    """One table of `core` that a publish fills from staging.

    date_column: the business day it is partitioned by, None for a table without partitions.
    identity: the key without the date; a row whose day changed is the same row elsewhere.
    has_history: earlier versions of its rows are kept in `history`.
    publish_query: the statement that publishes it, where the general upsert does not do.
    follow_up_queries: statements that run after it, in order.
    """

    table: sa.Table
    key: tuple[str, ...]
    covered_by: Coverage | None
    date_column: str | None = None
    has_history: bool = False
    publish_query: str | None = None
    follow_up_queries: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The table's name, alike in core, history and staging."""
        return self.table.name

    @property
    def identity(self) -> tuple[str, ...]:
        """The key columns that tell the row within its programme, without its day."""
        return tuple(name for name in self.key if name != self.date_column)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of core that a row brings."""
        return tuple(c.name for c in self.table.columns if not c.info.get("landing_only"))

    @cached_property
    def landing_columns(self) -> tuple[str, ...]:
        """The columns of staging that a record brings, in the order of the record."""
        return tuple(c.name for c in self.table.columns)

    @cached_property
    def landing_types(self) -> tuple[str, ...]:
        """The Postgres types of the landing columns, as binary COPY needs them."""
        return tuple(_landing_type(c.type) for c in self.table.columns)


def _landing_type(column_type: sa.types.TypeEngine[Any]) -> str:
    for kind, name in _LANDING_TYPES:
        if isinstance(column_type, kind):
            return name
    raise TypeError(f"no landing type for {column_type!r}")


# JSON lands as text: it is checked before, and cast once in the publish.
_LANDING_TYPES: tuple[tuple[type, str], ...] = (
    (sa.BigInteger, "int8"),
    (sa.SmallInteger, "int2"),
    (sa.Integer, "int4"),
    (sa.Numeric, "numeric"),
    (sa.DateTime, "timestamptz"),
    (sa.Date, "date"),
    (sa.Boolean, "bool"),
    (sa.Text, "text"),
    (sa.ARRAY, "text[]"),
    (JSONB, "text"),
)


def _columns(**types: sa.types.TypeEngine[Any]) -> list[sa.Column[Any]]:
    return [sa.Column(name, column_type) for name, column_type in types.items()]


def _landing_only(**types: sa.types.TypeEngine[Any]) -> list[sa.Column[Any]]:
    return [sa.Column(n, t, info={"landing_only": True}) for n, t in types.items()]


def _table(name: str, *columns: list[sa.Column[Any]]) -> sa.Table:
    extra: sa.Column[Any] = sa.Column("extra", JSONB)
    flat = [column for group in columns for column in group]
    return sa.Table(name, metadata, *flat, extra, schema="core")


@dataclass(frozen=True)
class NamedThing:
    """A small table of names, fed from a landing table: the newest row that tells a name wins.

    source: the landing table. columns: column here to column there. moment: the column that dates
    a name.
    """

    name: str
    key: str
    source: str
    columns: dict[str, str]
    moment: str


_ID, _TEXT, _FLAG = sa.BigInteger(), sa.Text(), sa.Boolean()

registrations = CoreTable(
    _table(
        "registrations",
        _columns(
            registration_date=sa.Date(),
            client_id=_ID,
            card_number=_ID,
            registered_at=MOMENT,
            out_number=_ID,
            is_virtual=_FLAG,
            card_type=_TEXT,
            card_status=_TEXT,
            pos_id=_ID,
        ),
        _landing_only(pos_name=_TEXT),
    ),
    key=("registration_date", "client_id", "card_number"),
    covered_by=WHOLE_DAYS,
    date_column="registration_date",
    follow_up_queries=("publish_cards",),
)

operations = CoreTable(
    _table(
        "operations",
        _columns(
            operation_date=sa.Date(),
            client_id=_ID,
            component_type=sa.SmallInteger(),
            operation_id=_ID,
            processed_at=MOMENT,
            bonus_id=_ID,
            cheque_id=_ID,
            cheque_number=_TEXT,
            order_id=_ID,
            parent_id=_ID,
            pos_id=_ID,
            partner_name=_TEXT,
            amount=MONEY,
            added=MONEY,
            redeemed=MONEY,
            discount=MONEY,
            certificate_redeemed=MONEY,
            remain=MONEY,
            is_refund=_FLAG,
            coupon_number=_TEXT,
            bonus_source=sa.SmallInteger(),
            is_active=_FLAG,
            active_from=MOMENT,
            expires_at=MOMENT,
        ),
        _landing_only(pos_name=_TEXT, bonus_source_name=_TEXT),
    ),
    key=("operation_date", "client_id", "component_type", "operation_id"),
    covered_by=WHOLE_CLIENTS,
    date_column="operation_date",
    has_history=True,
    follow_up_queries=("note_changed_clients",),
)

leads = CoreTable(
    _table(
        "leads",
        _columns(
            lead_date=sa.Date(),
            client_id=_ID,
            lead_id=_ID,
            lead_row_id=_ID,
            created_at=MOMENT,
            source_name=_TEXT,
            status_name=_TEXT,
            type_name=_TEXT,
            form_name=_TEXT,
            subject=_TEXT,
            mark_name=_TEXT,
            unread_count=sa.Integer(),
        ),
    ),
    key=("lead_date", "client_id", "lead_id"),
    covered_by=WHOLE_CLIENTS,
    date_column="lead_date",
    has_history=True,
)

favourite_offers = CoreTable(
    _table(
        "favourite_offers",
        _columns(
            offer_date=sa.Date(),
            client_id=_ID,
            favourite_id=_ID,
            offered_at=MOMENT,
            confirm_until=MOMENT,
            is_confirmed=_FLAG,
            confirmed_at=MOMENT,
            active_until=MOMENT,
            is_inactive=_FLAG,
        ),
        _landing_only(goods_read=_FLAG),
    ),
    key=("offer_date", "client_id", "favourite_id"),
    covered_by=WHOLE_CLIENTS,
    date_column="offer_date",
    has_history=True,
)

favourite_goods = CoreTable(
    _table(
        "favourite_goods",
        _columns(client_id=_ID, favourite_id=_ID, list_data_id=_ID, is_inactive=_FLAG),
        _landing_only(code=_TEXT, good_name=_TEXT, image_url=_TEXT),
    ),
    key=("client_id", "favourite_id", "list_data_id"),
    covered_by=WHOLE_OFFERS,
    follow_up_queries=("publish_goods", "delete_goods_of_deleted_offers"),
)

favourite_groups = CoreTable(
    _table(
        "favourite_groups",
        _columns(client_id=_ID, group_id=_ID, group_name=_TEXT, select_count=sa.Integer()),
    ),
    key=("client_id", "group_id"),
    covered_by=WHOLE_HEADERS,
)

favourite_stats = CoreTable(
    _table(
        "favourite_stats",
        _columns(
            snapshot_date=sa.Date(),
            client_id=_ID,
            max_link_goods=sa.Integer(),
            now_link_goods=sa.Integer(),
            remain_link_goods=sa.Integer(),
            remain_count_purchases=sa.Integer(),
            remain_gain=MONEY,
            remain_every_gain=MONEY,
            count_offer=sa.Integer(),
            count_confirm=sa.Integer(),
            count_purchases=sa.Integer(),
            sum_gain=MONEY,
            avg_favourite=MONEY,
            avg_all=MONEY,
        ),
        # A header that lacks a member tells nothing of it: what is stored stays.
        _landing_only(told=sa.ARRAY(sa.Text()), tells_groups=_FLAG),
    ),
    key=("snapshot_date", "client_id"),
    covered_by=None,
    date_column="snapshot_date",
    publish_query="publish_favourite_stats",
)

# Seen in registrations (when and where) and in operations (the phone): each fills its part.
clients = CoreTable(
    _table(
        "clients",
        _columns(
            client_id=_ID, registered_at=MOMENT, registration_date=sa.Date(), pos_id=_ID, phone=_ID
        ),
    ),
    key=("client_id",),
    covered_by=None,
    has_history=True,
    publish_query="publish_clients",
)

CORE_TABLES = (
    registrations,
    operations,
    leads,
    favourite_offers,
    favourite_goods,
    favourite_groups,
    favourite_stats,
    clients,
)

NAMED_THINGS = (
    NamedThing(
        "points_of_sale",
        "pos_id",
        source="registrations",
        columns={"pos_id": "pos_id", "name": "pos_name"},
        moment="registered_at",
    ),
    NamedThing(
        "points_of_sale",
        "pos_id",
        source="operations",
        columns={"pos_id": "pos_id", "name": "pos_name"},
        moment="processed_at",
    ),
    NamedThing(
        "bonus_sources",
        "bonus_source",
        source="operations",
        columns={"bonus_source": "bonus_source", "name": "bonus_source_name"},
        moment="processed_at",
    ),
)
