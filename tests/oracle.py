"""Compares the warehouse with the true rows of a simulated programme, field by field.

Written only from the vendor's documentation and the columns of the warehouse's tables: it parses
dates and money itself and shares no code with the transform, so both cannot have the same bug.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse

Truth = Mapping[str, list[dict[str, Any]]]
Rows = dict[tuple[Any, ...], dict[str, Any]]

MOSCOW = ZoneInfo("Europe/Moscow")
MAX_SHOWN = 12


def _moment(text: Any) -> datetime | None:
    """Convert a naive Moscow time to UTC; digits below the microsecond are dropped."""
    if not text or text.startswith("0001-"):
        return None
    seconds, _, fraction = text.partition(".")
    naive = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S")
    naive += timedelta(microseconds=int(fraction[:6].ljust(6, "0")) if fraction else 0)
    return (naive - timedelta(hours=3)).replace(tzinfo=UTC)


def _money(value: Any) -> Decimal | None:
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
        + _columns("RegDate:registered_at", _moment),
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
        + _columns("Proctime:processed_at ActiveDate:active_from ExpiryDate:expires_at", _moment)
        + _columns(
            "Amount:amount Added:added Redeemed:redeemed Discount:discount"
            " SertRedeemed:certificate_redeemed Remain:remain",
            _money,
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
        + _columns("ProcTime:created_at", _moment),
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
            _moment,
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
            _money,
        ),
        ("client_id",),
    ),
)


class Difference(NamedTuple):
    """One row that differs; `columns` contains pairs of the true and the stored value."""

    table: str
    key: tuple[Any, ...]
    kind: str
    columns: dict[str, tuple[Any, Any]]

    def __str__(self) -> str:
        values = "; ".join(f"{c}: true {t!r}, stored {s!r}" for c, (t, s) in self.columns.items())
        return f"{self.table} {self.key}: {self.kind} {values}".rstrip()


def assert_exact(
    source: RunningSimulator, warehouse: Warehouse, *, last: date, **options: Any
) -> None:
    """Fail with the first differences between a programme and the warehouse.

    options: see `differences`.
    """
    found = differences(source.world.truth(), warehouse, last=last, **options)
    shown = "\n".join(str(one) for one in found[:MAX_SHOWN])
    assert not found, f"{len(found)} rows differ from the source, such as\n{shown}"


def differences(
    truth: Truth,
    warehouse: Warehouse,
    *,
    last: date,
    zone: ZoneInfo = MOSCOW,
    extra: Mapping[str, Any] | None = None,
    without: Iterable[int] = (),
) -> list[Difference]:
    """Compare every live row of the clients registered by `last`.

    extra: fields that the server adds to each row. without: clients whose rows are not compared.
    """
    known = _registered_by(truth, last, zone) - set(without)
    left_out = set(without)
    found: list[Difference] = []
    for table in TABLES:
        true = _true_rows(table, truth, known, zone=zone, extra=extra or {})
        stored = {
            key: row
            for key, row in stored_rows(warehouse, table).items()
            if row["client_id"] not in left_out
        }
        found += _compare(table.name, true, stored)
    return found


def stored_rows(warehouse: Warehouse, table: Table) -> Rows:
    """The live rows of a table by key; for the statistics, the newest row of each client."""
    names = [column.name for column in table.columns]
    if table.day:
        names.append(table.day[0])
    newest = table.name == "favourite_stats"
    statement = SQL("select {}, extra from core.{} where deleted_at is null{}").format(
        SQL(", ").join(map(Identifier, names)),
        Identifier(table.name),
        SQL(" order by client_id, snapshot_date" if newest else ""),
    )
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement).fetchall()
    found = {tuple(row[name] for name in table.key): row for row in rows}
    assert newest or len(found) == len(rows), f"a row of {table.name} is live on two days"
    return found


def snapshot(warehouse: Warehouse) -> dict[str, list[str]]:
    """Every row of core and history as text, with all of its columns."""
    with warehouse.connect() as session:
        names = session.execute(
            "select schemaname || '.' || tablename from pg_tables"
            " where schemaname in ('core', 'history') order by 1"
        ).fetchall()
        return {
            name: [
                row[0]
                for row in session.execute(
                    SQL("select stored::text from {} as stored order by 1").format(
                        Identifier(*name.split("."))
                    )
                )
            ]
            for (name,) in names
        }


def is_bad(row: Mapping[str, Any], truth: Truth) -> bool:
    """Whether a row of operations is one of those that do not fit the contract."""
    return any(row == bad for bad in truth["bad_rows"])


def check_small_tables(source: RunningSimulator, warehouse: Warehouse, *, last: date) -> None:
    """Check that clients, cards and names agree with the rows that contain them."""
    truth = source.world.truth()
    registrations = [r for r in truth["registrations"] if _day(r["RegDate"], MOSCOW) <= last]
    first: dict[int, datetime | None] = {}
    for row in registrations:
        first.setdefault(row["Client"], _moment(row["RegDate"]))
    phones = {row["Client"]: row["Phone"] for row in source.world.profile_rows()}
    with warehouse.connect() as session:
        clients = session.execute("select client_id, registered_at, phone from core.clients")
        assert {row[0]: row[1:] for row in clients} == {
            client: (moment, phones[client]) for client, moment in first.items()
        }
        cards = session.execute("select card_number, client_id, card_status from core.cards")
        assert {row[0]: row[1:] for row in cards} == {
            row["Card"]: (row["Client"], row["Card_Status"]) for row in registrations
        }
    operations = truth["operations"]
    goods = truth["favourite_goods"]
    for table, key, names in (
        ("points_of_sale", "pos_id", _names(operations, "Pos", "PosName")),
        ("bonus_sources", "bonus_source", _names(operations, "BonusSource", "BonusSourceName")),
        ("goods", "list_data_id", _names(goods, "ListDataId", "Name")),
    ):
        _check_names(warehouse, table, key, names)


def _check_names(warehouse: Warehouse, table: str, key: str, sent: dict[Any, set[str]]) -> None:
    statement = SQL("select {}, name from core.{}").format(Identifier(key), Identifier(table))
    with warehouse.connect() as session:
        stored = dict(session.execute(statement).fetchall())
    wrong = {
        number: name
        for number, name in stored.items()
        if sent.get(number) and name not in sent[number]
    }
    assert not wrong, f"{table} has names that the source never sent: {wrong}"
    missing = {number for number, names in sent.items() if names and number not in stored}
    assert not missing, f"{table} lacks {missing}"


def _names(rows: Iterable[Mapping[str, Any]], key: str, name: str) -> dict[Any, set[str]]:
    found: dict[Any, set[str]] = {}
    for row in rows:
        number = row.get(key)
        if isinstance(number, int) and number < 2**63:
            found.setdefault(number, set())
            if row.get(name):
                found[number].add(row[name])
    return found


def _registered_by(truth: Truth, last: date, zone: ZoneInfo) -> set[int]:
    return {row["Client"] for row in truth["registrations"] if _day(row["RegDate"], zone) <= last}


def _day(text: str, zone: ZoneInfo) -> date:
    moment = _moment(text)
    assert moment is not None
    return moment.astimezone(zone).date()


def _true_rows(
    table: Table, truth: Truth, known: set[int], *, zone: ZoneInfo, extra: Mapping[str, Any]
) -> Rows:
    rows: Rows = {}
    named = {column.field for column in table.columns} | table.ignored
    for row in truth[table.name]:
        if row["Client"] not in known or (table.name == "operations" and is_bad(row, truth)):
            continue
        values = {column.name: column.read(row.get(column.field)) for column in table.columns}
        if table.day:
            day, moment = table.day
            values[day] = values[moment].astimezone(zone).date()
        unnamed = {name: _plain(value) for name, value in row.items() if name not in named}
        added = {} if table.name == "favourite_stats" else extra
        values["extra"] = {**unnamed, **added} or None
        key = tuple(values[name] for name in table.key)
        assert key not in rows, f"the source has {key} of {table.name} twice"
        rows[key] = values
    return rows


def _plain(value: Any) -> Any:
    """A value as psycopg loads it from jsonb."""
    return float(value) if isinstance(value, Decimal) else value


def _compare(table: str, true: Rows, stored: Rows) -> list[Difference]:
    found = []
    for key in sorted(true.keys() | stored.keys(), key=str):
        if key not in stored:
            found.append(Difference(table, key, "missing", {}))
        elif key not in true:
            found.append(Difference(table, key, "surplus", {}))
        elif true[key] != stored[key]:
            columns = {
                name: (value, stored[key][name])
                for name, value in true[key].items()
                if value != stored[key][name]
            }
            found.append(Difference(table, key, "different", columns))
    return found
