"""A client with a very long history, such as a card that a cashier uses for all customers.

The statistics of the planner describe usual clients. A query that compares the rows of one client
with each other may then take minutes for some ten thousand rows. The time limit is a multiple of
what all clients take together, as machines differ.
"""

import time
from datetime import date

import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.partitions import ensure_partitions

_HEAVY, _PAIRS = 1, 40_000
# A query that compares each row with each takes hundreds of times as long.
_TIMES_ALL = 10
# These marts have one row per client and month, or per client; the heavy client is no member.
_FEWEST = {"expiring_lots": 0, "purchase_months": 1, "client_totals": 1, "known_members": 0}

# Pairs of a cheque and its bonus, an empty lot. Of the long history every second cheque is the
# refund of the one before, and every fourth bonus records that another one expired.
_HISTORY = """
insert into core.operations (
    operation_date, client_id, component_type, operation_id, processed_at, cheque_id, bonus_id,
    parent_id, amount, added, remain, bonus_source, is_refund, expires_at, sync_run_id,
    first_seen_at, synced_at
)
select
    date '2026-03-01' + (pair %% 28)::int, %(client)s, kind, 2 * pair + kind,
    timestamptz '2026-03-01 12:00+03' + (pair %% 28) * interval '1 day', 2 * pair,
    case when kind = 2 then 2 * pair end,
    case when is_refund or is_burnt then 2 * pair - 2 end,
    10, case when kind = 2 then case when is_burnt then -1 else 1 end end, 0,
    case when is_burnt then parameters.burnt_bonus_source else 1 end,
    is_refund, timestamptz '2026-03-30 12:00+03', 1, now(), now()
from generate_series(%(first)s::bigint, %(last)s::bigint) as pair
cross join generate_series(1, 2) as kind
cross join mart.parameters
cross join lateral (
    select
        %(client)s = 1 and kind = 1 and pair %% 2 = 0, %(client)s = 1 and kind = 2 and pair %% 4 = 0
) as flags (is_refund, is_burnt);
"""


@pytest.fixture
def crowded(warehouse: Warehouse) -> Warehouse:
    """A thousand usual clients, and one with 80,000 operations."""
    with warehouse.connect(autocommit=True) as session:
        ensure_partitions(session, "core", "operations", [date(2026, 3, 1)])
        for client in range(_HEAVY + 1, 1_002):
            first = _PAIRS + 10 * client
            values = {"client": client, "first": first, "last": first + 9}
            session.execute(_HISTORY, values)
        heavy = {"client": _HEAVY, "first": 1, "last": _PAIRS}
        session.execute(_HISTORY, heavy)
        session.execute("analyze core.operations")
    return warehouse


@pytest.mark.slow
def test_a_client_with_a_very_long_history_is_computed_in_time(crowded: Warehouse) -> None:
    with crowded.connect(autocommit=True) as session:
        began = time.monotonic()
        session.execute("insert into refresh.scope select distinct client_id from core.operations")
        for mart in marts():
            if mart.refreshed_by == "client":
                kept, formula = (Identifier(schema, mart.name) for schema in ("mart", "refresh"))
                session.execute(SQL("insert into {} select * from {}").format(kept, formula))
                session.execute(SQL("analyze {}").format(kept))
        most = _TIMES_ALL * (time.monotonic() - began)
        session.execute("delete from refresh.scope where client_id <> %s", (_HEAVY,))
        session.execute("analyze refresh.scope")
        session.execute(f"set statement_timeout = '{most:.0f}s'".encode())
        for mart in marts():
            if mart.refreshed_by == "client":
                formula = Identifier("refresh", mart.name)
                count = SQL("select count(*) from (select * from {}) as counted").format(formula)
                counted = session.execute(count).fetchone()
                assert counted is not None
                assert counted[0] >= _FEWEST.get(mart.name, _PAIRS / 2), mart.name
