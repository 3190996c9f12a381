"""The cost of the ledger: statements that run per batch read the batch, not the whole run."""

from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Composed, Identifier

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.partitions import ensure_partitions
from lcm_pipeline.warehouse.queries import composed, queries, query
from tests.databases import nodes_of

_TASKS = 2_000
_CLAIM = 1_000
_BATCH = 10


@pytest.fixture
def run_id(warehouse: Warehouse) -> int:
    """A run that has just begun, so its tasks have no statistics of autovacuum."""
    with warehouse.connect() as session:
        row = session.execute(
            "insert into sync.runs (feed, window_from, window_to) values ('operations', %(day)s,"
            " %(day)s) returning run_id",
            {"day": date(2026, 3, 1)},
        ).fetchone()
        assert row
        session.execute(
            "insert into sync.fetches (run_id, client_id)"
            " select %s, client_id from generate_series(1, %s) as clients (client_id)",
            (row[0], _TASKS),
        )
        session.execute(
            "insert into sync.client_state (feed, client_id)"
            " select 'operations', client_id from generate_series(1, %s) as clients (client_id)",
            (_TASKS,),
        )
    return int(row[0])


def _visited(session: psycopg.Connection, statement: str | Composed, values: dict[str, Any]) -> int:
    """The number of rows, and pairs of rows, that a statement, or the one of a name, examined."""
    text = query(statement) if isinstance(statement, str) else statement.as_bytes(session)
    row = session.execute(b"explain (analyze, format json) " + text, values).fetchone()
    assert row
    counts = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    return int(
        sum(
            sum(node.get(count, 0) for count in counts) * node["Actual Loops"]
            for node in nodes_of(row[0][0]["Plan"])
        )
    )


def _quarantine(session: psycopg.Connection, run_id: int) -> None:
    """A row in quarantine for each task, as after a field changed its type."""
    session.execute(
        "insert into sync.quarantine"
        " (feed, client_id, row_digest, table_name, reason, raw, sync_run_id)"
        " select 'operations', client_id, int8send(client_id), 'operations', 'amount', '{}', %s"
        " from generate_series(1, %s) as clients (client_id)",
        (run_id, _TASKS),
    )
    session.execute("analyze sync.quarantine")


def test_many_rows_in_quarantine_are_not_compared_with_each_task_of_a_publish(
    warehouse: Warehouse, run_id: int
) -> None:
    with warehouse.connect() as session:
        _quarantine(session, run_id=run_id - 1)
        session.execute(
            "create temp table publishing on commit drop as select * from sync.fetches"
            " where run_id = %s",
            (run_id,),
        )
        session.execute("update publishing set reading = 'full'")
        session.execute("analyze publishing")
        values = {"run_id": run_id, "feed": "operations"}
        assert _visited(session, "resolve_quarantine", values) < 20 * _TASKS
        left = session.execute("select from sync.quarantine where resolved_at is null")
        assert left.rowcount == 0


def test_a_batch_of_tasks_that_are_read_again_visits_only_its_rows_in_quarantine(
    warehouse: Warehouse, run_id: int
) -> None:
    with warehouse.connect() as session:
        _quarantine(session, run_id)
        tasks = [
            task_id
            for (task_id,) in session.execute(
                "select task_id from sync.fetches order by task_id limit %s", (_BATCH,)
            )
        ]
        values = {"run_id": run_id, "tasks": tasks}
        assert _visited(session, "withdraw_quarantine", values) < _TASKS
        left = session.execute("select from sync.quarantine")
        assert left.rowcount == _TASKS - _BATCH


def test_a_batch_is_claimed_and_recorded_without_comparing_it_with_the_run(
    warehouse: Warehouse, run_id: int
) -> None:
    claim = {"run_id": run_id, "feed": "operations", "after": 0, "most": _CLAIM, "lock_class": 1}
    with warehouse.connect() as session:
        # It may read each task once, but must not compare each task with every other.
        assert _visited(session, "claim_tasks", claim) < 10 * _TASKS
        claimed = [
            task_id
            for (task_id,) in session.execute(
                "select task_id from sync.fetches where claimed_by = pg_backend_pid()"
            )
        ]
        assert len(claimed) == _CLAIM
        outcomes = {
            "run_id": run_id,
            "task_id": claimed[:_BATCH],
            "status": ["done"] * _BATCH,
            "reading": ["full"] * _BATCH,
            **dict.fromkeys(("has_header", "is_refused"), [False] * _BATCH),
            **dict.fromkeys(
                ("single_page", "rows", "staged", "expired", "quarantined", "base_version"),
                [1] * _BATCH,
            ),
            **dict.fromkeys(("fingerprint", "head", "header_digest"), [b"1"] * _BATCH),
            "read_at": [datetime(2026, 3, 2, tzinfo=UTC)] * _BATCH,
            "error": [None] * _BATCH,
        }
        assert _visited(session, "close_tasks", outcomes) < 2 * _TASKS


def test_a_run_begins_without_reading_the_ledgers_of_all_others(
    warehouse: Warehouse, run_id: int
) -> None:
    """Years of runs without tasks, and some recent ones with a task for each client."""
    with warehouse.connect() as session:
        session.execute(
            "insert into sync.runs (feed, window_from, window_to, status, finished_at)"
            " select 'leads', day, day, 'published', now() - interval '30 days'"
            " from generate_series(date '2025-01-01', date '2025-03-31', '1 day') as day"
        )
        session.execute(
            "insert into sync.fetches (run_id, client_id) select max(run_id), 1 from sync.runs"
        )
        session.execute("analyze sync.runs, sync.fetches")
        assert _visited(session, "old_ledgers", {}) < _TASKS
        row = session.execute("select max(run_id) from sync.runs").fetchone()
        assert session.execute(query("old_ledgers")).fetchall() == [row]


_BLOCK = {"first": "(3,0)", "after": "(4,0)"}


def test_old_rows_are_deleted_in_one_pass_over_their_table(warehouse: Warehouse) -> None:
    """Each batch reads its own blocks, not again those of all others."""
    with warehouse.connect() as session:
        _quarantine(session, run_id=1)
        session.execute("update sync.quarantine set resolved_at = '2025-01-01' where client_id > 9")
        session.execute("analyze sync.quarantine")
        values = {"before": datetime(2026, 1, 1, tzinfo=UTC), "kept_from": date(2026, 1, 1)}
        statement = composed(
            "delete_old",
            table=Identifier("sync", "quarantine"),
            listed=SQL(queries()["old_quarantine"]),
        )
        assert _visited(session, statement, values | _BLOCK) < _TASKS / 2


def test_the_goods_of_an_old_month_are_deleted_in_one_pass_over_its_offers(
    warehouse: Warehouse,
) -> None:
    day, stamps = date(2025, 11, 3), "1, now(), now()"
    with warehouse.connect(autocommit=True) as session:
        ensure_partitions(session, "core", "favourite_offers", [day])
        session.execute(
            "insert into core.favourite_offers (offer_date, client_id, favourite_id, offered_at,"
            f" sync_run_id, first_seen_at, synced_at) select %s, n, n, %s, {stamps}"
            " from generate_series(1, %s) as n".encode(),
            (day, day, _TASKS),
        )
        session.execute(
            "insert into core.favourite_goods (client_id, favourite_id, list_data_id, sync_run_id,"
            f" first_seen_at, synced_at) select n, n, good, {stamps}"
            " from generate_series(1, %s) as n, generate_series(1, 20) as good".encode(),
            (_TASKS,),
        )
        session.execute("analyze core.favourite_offers, core.favourite_goods")
        statement = composed(
            "delete_goods_of_month", offers=Identifier("core", "favourite_offers_202511")
        )
        values = {"kept_from": date(2026, 1, 1), **_BLOCK}
        assert 0 < _visited(session, statement, values) < 10 * _TASKS
