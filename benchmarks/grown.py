"""A warehouse grown by SQL to the size of years: as a sync would have left it, without the wait.

Half of the operations are cheques, half are the lots given for them: lots live for a year, some are
spent, the rest expire in silence, and cheques redeem about what was spent. Equal seeds are equal
warehouses. Nothing is read from an API, yet the ledger's state is there as
well, so that a publish into this warehouse has as much to join as in life.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import psycopg

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.partitions import ensure_partitions, next_month

LAST_DAY = date(2026, 3, 31)
_STORES = 200

_ROSTER = """
insert into core.points_of_sale (pos_id, name, named_at, sync_run_id, first_seen_at, synced_at)
select id, 'Store ' || id, now(), 1, now(), now() from generate_series(1, %(stores)s) as id;
insert into core.bonus_sources (bonus_source, name, named_at, sync_run_id, first_seen_at, synced_at)
select id, 'Source ' || id, now(), 1, now(), now() from generate_series(1, 8) as id;
insert into core.registrations (
    registration_date, client_id, card_number, registered_at, is_virtual, card_type, card_status,
    pos_id, sync_run_id, first_seen_at, synced_at
)
select
    %(first)s::date + (id %% %(days)s)::integer,
    id,
    100000000 + id,
    (%(first)s::date + (id %% %(days)s)::integer)::timestamptz,
    id %% 3 = 0,
    'Card',
    'Active',
    1 + id %% %(stores)s,
    1,
    now(),
    now()
from generate_series(1, %(clients)s::bigint) as id;
insert into core.clients (
    client_id, registered_at, registration_date, pos_id, sync_run_id, first_seen_at, synced_at
)
select client_id, registered_at, registration_date, pos_id, 1, first_seen_at, synced_at
from core.registrations;
"""

_MONTH = """
create temp table bought on commit drop as
select
    %(offset)s + id as cheque_id,
    1 + floor(%(clients)s * random() * random())::bigint as client_id,
    1 + floor(%(stores)s * random() * random())::bigint as pos_id,
    %(month)s::timestamptz + random() * (%(end)s::timestamptz - %(month)s::timestamptz) as at,
    round((100 + 4900 * random() * random())::numeric, 2) as amount,
    random() as luck
from generate_series(1, %(cheques)s::bigint) as id;

insert into core.operations (
    operation_date, client_id, component_type, operation_id, processed_at, cheque_id,
    cheque_number, pos_id, partner_name, amount, redeemed, discount, is_refund, sync_run_id,
    first_seen_at, synced_at
)
select
    (at at time zone 'Europe/Moscow')::date, client_id, 2, cheque_id, at, cheque_id,
    cheque_id::text, pos_id, 'Partner', amount,
    case when luck < 0.2 then round(amount * 0.1, 2) else 0 end, 0, luck > 0.98, 1, now(), now()
from bought
order by 1, 2, 4;

insert into core.operations (
    operation_date, client_id, component_type, operation_id, processed_at, bonus_id, cheque_id,
    pos_id, partner_name, added, remain, bonus_source, is_active, active_from, expires_at,
    sync_run_id, first_seen_at, synced_at
)
select
    (at at time zone 'Europe/Moscow')::date, client_id, 1, cheque_id, at, cheque_id, cheque_id,
    pos_id, 'Partner', round(amount * 0.05, 2),
    case
        when luck < 0.4 or at + interval '365 days' <= %(now)s::timestamptz then 0
        else round(amount * 0.05, 2)
    end,
    1 + (cheque_id %% 6)::smallint, true, at + interval '14 days', at + interval '365 days',
    1, now(), now()
from bought
order by 1, 2, 4;
"""

_STATE = """
insert into sync.runs (
    feed, window_from, window_to, status, started_at, finished_at, clients, rows_read
)
select feed, %(first)s, %(last)s, 'published', now(), now(), %(clients)s, %(operations)s
from unnest(array['registrations', 'operations', 'leads', 'favourites']) as feed;
insert into sync.client_state (
    feed, client_id, source_total, version, read_at, proven_date, changed_date
)
select 'operations', clients.client_id, coalesce(counted.rows, 0), 1, now(), %(last)s, %(last)s
from core.clients
left join (
    select client_id, count(*) as rows from core.operations group by client_id
) as counted on counted.client_id = clients.client_id;
insert into sync.client_state (
    feed, client_id, source_total, version, read_at, proven_date, changed_date
)
select feed, client_id, 0, 1, now(), %(last)s, %(last)s
from core.clients
cross join unnest(array['leads', 'favourites']) as feed;
insert into sync.registration_days (registration_date, source_total, version, read_at)
select series::date, count(registrations.client_id), 1, now()
from generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as series
left join core.registrations on registrations.registration_date = series::date
group by series;
"""


@dataclass(frozen=True)
class Growth:
    """How much there is: clients, operations in all, and months of history up to LAST_DAY."""

    clients: int
    operations: int
    months: int = 36

    @property
    def first_day(self) -> date:
        """The first day of the first month."""
        months = LAST_DAY.year * 12 + LAST_DAY.month - self.months
        return date(months // 12, months % 12 + 1, 1)


def grow(warehouse: Warehouse, growth: Growth, report: Callable[[str], None]) -> None:
    """Fill an empty, or not yet migrated, warehouse; reports each month that is done."""
    migrate(warehouse)
    with warehouse.connect(autocommit=True, application_name="lcm grow") as session:
        session.execute("select setseed(0.25)")
        _add_roster(session, growth)
        month, done = growth.first_day, 0
        while month <= LAST_DAY:
            done += _add_month(session, growth, month, done)
            report(f"{month:%Y-%m}: {2 * done:,} operations")
            month = next_month(month)
        state = {"first": growth.first_day, "last": LAST_DAY, "clients": growth.clients}
        _execute_each(session, _STATE, {**state, "operations": 2 * done})
        session.execute("vacuum analyze")


def is_grown(warehouse: Warehouse) -> bool:
    with warehouse.connect() as session:
        row = session.execute("select to_regclass('sync.runs') is not null").fetchone()
        if not (row and row[0]):
            return False
        row = session.execute("select exists (select from sync.runs)").fetchone()
    return bool(row and row[0])


def _add_roster(session: psycopg.Connection, growth: Growth) -> None:
    months = [growth.first_day]
    while (following := next_month(months[-1])) <= LAST_DAY:
        months.append(following)
    for table in ("registrations", "operations"):
        ensure_partitions(session, "core", table, months)
    values = {
        "stores": _STORES,
        "first": growth.first_day,
        "days": (LAST_DAY - growth.first_day).days + 1,
        "clients": growth.clients,
    }
    _execute_each(session, _ROSTER, values)


def _add_month(session: psycopg.Connection, growth: Growth, month: date, done: int) -> int:
    cheques = growth.operations // 2 // growth.months
    values = {
        "offset": done,
        "clients": growth.clients,
        "stores": _STORES,
        "month": f"{month}T00:00:00+03:00",
        "end": f"{next_month(month)}T00:00:00+03:00",
        "now": f"{LAST_DAY + timedelta(days=1)}T00:00:00+03:00",
        "cheques": cheques,
    }
    with session.transaction():
        _execute_each(session, _MONTH, values)
    return cheques


def _execute_each(session: psycopg.Connection, text: str, values: dict[str, object]) -> None:
    for statement in text.split(";\n"):
        if statement.strip():
            session.execute(statement.encode(), values)
