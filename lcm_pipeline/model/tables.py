"""The core tables that a sync fills: columns, keys, and their form in staging.

The migrations create the tables; a test compares the two. A `staging_only` column exists only in
staging, where it feeds a dimension or controls the publish. `covered_by` names what a reading must
have covered before a row that it lacks may be marked as deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

# Column types in staging, by the names that binary COPY needs. JSON is staged as text: it is
# checked before, and cast once in the publish.
_ID, _INTEGER, _SMALL, _MONEY = "int8", "int4", "int2", "numeric"
_MOMENT, _DATE, _FLAG, _TEXT, _TEXTS = "timestamptz", "date", "bool", "text", "text[]"


@dataclass(frozen=True)
class Coverage:
    """What a proven reading covers: a relation of the publish, and the columns to join it by."""

    relation: str
    columns: tuple[str, ...]


COVERED_CLIENTS = Coverage("covered_clients", ("client_id",))
COVERED_DAYS = Coverage("covered_days", ("registration_date",))
COVERED_ENVELOPES = Coverage("covered_envelopes", ("client_id",))
COVERED_OFFERS = Coverage("covered_offers", ("client_id", "favourite_id"))


@dataclass(frozen=True, eq=False, kw_only=True)
class CoreTable:
    """One table of `core` that a publish fills from staging; it has the same name in all schemas.

    types: the columns of core that come from the source, with their types; `extra`, for fields that
    the payload definition does not have, is always added. staging_only: columns of staging only.
    date_column: the business day it is partitioned by; None for a table without partitions.
    identity: the key without the date; a row whose day changed is the same row elsewhere.
    has_history: earlier versions of its rows are stored in `history`.
    moves_between_clients: merging cards moves its rows to another client under the same key, as
    its ids are unique over all clients.
    is_held_for_months: rows older than LCM_RETENTION_MONTHS are dropped, by their date_column.
    is_snapshot: it has a row for each day on which a client's values changed, while the source
    returns only the present ones.
    publish_query: the statement that publishes it, where the generic upsert is not enough.
    follow_up_queries: statements that run after it, in order. change_queries: those that record
    what changed, for the marts; not after a first load in batches, when the marts compute
    everything.
    """

    name: str
    types: Mapping[str, str]
    staging_only: Mapping[str, str] = field(default_factory=dict)
    key: tuple[str, ...]
    covered_by: Coverage | None
    date_column: str | None = None
    has_history: bool = False
    moves_between_clients: bool = False
    is_held_for_months: bool = False
    is_snapshot: bool = False
    publish_query: str | None = None
    follow_up_queries: tuple[str, ...] = ()
    change_queries: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, ...]:
        """The key columns that identify a row within its programme, without its day."""
        return tuple(name for name in self.key if name != self.date_column)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of core that come from the source."""
        return (*self.types, "extra")

    @cached_property
    def staging_columns(self) -> tuple[str, ...]:
        """The columns of staging, in the order of a record's values."""
        return (*self.types, *self.staging_only, "extra")

    @cached_property
    def staging_types(self) -> tuple[str, ...]:
        """The Postgres types of the staging columns, as binary COPY needs them."""
        return (*self.types.values(), *self.staging_only.values(), _TEXT)


@dataclass(frozen=True)
class NameDimension:
    """A dimension of ids and names, filled from a staging table: the newest row with a name wins.

    source: the staging table. columns: our column to its column. moment: the column that dates a
    name.
    """

    name: str
    key: str
    source: str
    columns: dict[str, str]
    moment: str


registrations = CoreTable(
    name="registrations",
    types={
        "registration_date": _DATE,
        "client_id": _ID,
        "card_number": _ID,
        "registered_at": _MOMENT,
        "out_number": _ID,
        "is_virtual": _FLAG,
        "card_type": _TEXT,
        "card_status": _TEXT,
        "pos_id": _ID,
    },
    staging_only={"pos_name": _TEXT},
    key=("registration_date", "client_id", "card_number"),
    covered_by=COVERED_DAYS,
    date_column="registration_date",
    follow_up_queries=("publish_cards", "record_given_away", "reinstate_registered"),
)

operations = CoreTable(
    name="operations",
    types={
        "operation_date": _DATE,
        "client_id": _ID,
        "component_type": _SMALL,
        "operation_id": _ID,
        "processed_at": _MOMENT,
        "bonus_id": _ID,
        "cheque_id": _ID,
        "cheque_number": _TEXT,
        "order_id": _ID,
        "parent_id": _ID,
        "pos_id": _ID,
        "partner_name": _TEXT,
        "amount": _MONEY,
        "added": _MONEY,
        "redeemed": _MONEY,
        "discount": _MONEY,
        "certificate_redeemed": _MONEY,
        "remain": _MONEY,
        "is_refund": _FLAG,
        "coupon_number": _TEXT,
        "bonus_source": _SMALL,
        "is_active": _FLAG,
        "active_from": _MOMENT,
        "expires_at": _MOMENT,
    },
    staging_only={"pos_name": _TEXT, "bonus_source_name": _TEXT},
    key=("operation_date", "client_id", "component_type", "operation_id"),
    covered_by=COVERED_CLIENTS,
    date_column="operation_date",
    has_history=True,
    is_held_for_months=True,
    moves_between_clients=True,
    change_queries=("record_changed_clients",),
)

leads = CoreTable(
    name="leads",
    types={
        "lead_date": _DATE,
        "client_id": _ID,
        "lead_id": _ID,
        "lead_row_id": _ID,
        "created_at": _MOMENT,
        "source_name": _TEXT,
        "status_name": _TEXT,
        "type_name": _TEXT,
        "form_name": _TEXT,
        "subject": _TEXT,
        "mark_name": _TEXT,
        "unread_count": _INTEGER,
    },
    key=("lead_date", "client_id", "lead_id"),
    covered_by=COVERED_CLIENTS,
    date_column="lead_date",
    has_history=True,
    is_held_for_months=True,
    moves_between_clients=True,
)

favourite_offers = CoreTable(
    name="favourite_offers",
    types={
        "offer_date": _DATE,
        "client_id": _ID,
        "favourite_id": _ID,
        "offered_at": _MOMENT,
        "confirm_until": _MOMENT,
        "is_confirmed": _FLAG,
        "confirmed_at": _MOMENT,
        "active_until": _MOMENT,
        "is_inactive": _FLAG,
    },
    staging_only={"goods_read": _FLAG},
    key=("offer_date", "client_id", "favourite_id"),
    covered_by=COVERED_CLIENTS,
    date_column="offer_date",
    has_history=True,
    is_held_for_months=True,
    moves_between_clients=True,
)

favourite_goods = CoreTable(
    name="favourite_goods",
    types={"client_id": _ID, "favourite_id": _ID, "list_data_id": _ID, "is_inactive": _FLAG},
    staging_only={"code": _TEXT, "good_name": _TEXT, "image_url": _TEXT},
    key=("client_id", "favourite_id", "list_data_id"),
    covered_by=COVERED_OFFERS,
    follow_up_queries=("publish_goods", "delete_goods_of_deleted_offers"),
)

favourite_groups = CoreTable(
    name="favourite_groups",
    types={"client_id": _ID, "group_id": _ID, "group_name": _TEXT, "select_count": _INTEGER},
    key=("client_id", "group_id"),
    covered_by=COVERED_ENVELOPES,
)

favourite_stats = CoreTable(
    name="favourite_stats",
    types={
        "snapshot_date": _DATE,
        "client_id": _ID,
        "max_link_goods": _INTEGER,
        "now_link_goods": _INTEGER,
        "remain_link_goods": _INTEGER,
        "remain_count_purchases": _INTEGER,
        "remain_gain": _MONEY,
        "remain_every_gain": _MONEY,
        "count_offer": _INTEGER,
        "count_confirm": _INTEGER,
        "count_purchases": _INTEGER,
        "sum_gain": _MONEY,
        "avg_favourite": _MONEY,
        "avg_all": _MONEY,
    },
    # `present` lists the columns that the envelope had a value for: the others keep theirs.
    staging_only={"present": _TEXTS, "has_groups": _FLAG},
    key=("snapshot_date", "client_id"),
    covered_by=None,
    date_column="snapshot_date",
    is_snapshot=True,
    publish_query="publish_favourite_stats",
)

# Filled by two feeds, each with its own columns: registrations (when and where) and operations
# (the phone).
clients = CoreTable(
    name="clients",
    types={
        "client_id": _ID,
        "registered_at": _MOMENT,
        "registration_date": _DATE,
        "pos_id": _ID,
        "phone": _ID,
    },
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

NAME_DIMENSIONS = (
    NameDimension(
        "points_of_sale",
        "pos_id",
        source="registrations",
        columns={"pos_id": "pos_id", "name": "pos_name"},
        moment="registered_at",
    ),
    NameDimension(
        "points_of_sale",
        "pos_id",
        source="operations",
        columns={"pos_id": "pos_id", "name": "pos_name"},
        moment="processed_at",
    ),
    NameDimension(
        "bonus_sources",
        "bonus_source",
        source="operations",
        columns={"bonus_source": "bonus_source", "name": "bonus_source_name"},
        moment="processed_at",
    ),
)
