"""The ledger: what a run has to read, and what became of each of it.

Rows land in staging in the same transaction as their ledger row, so a killed run goes on where it
stopped. Staging is unlogged and empty after a crash of the server: the publish counts again.
"""

import logging
import struct
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from lcm_pipeline.feeds import feed_named
from lcm_pipeline.model.readings import MOST_UNKNOWN_FIELDS, Outcome, Task
from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.model.texts import shown
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.schedule import Schedule, schedule_clients
from lcm_pipeline.warehouse.queries import query

logger = logging.getLogger(__name__)

_LONGEST_FIELD = 200
_OUTCOME_COLUMNS = (
    "client_id", "window_from", "status", "reading", "has_header", "single_page", "rows",
    "staged", "quarantined", "base_version", "read_at", "fingerprint", "head", "header_digest",
    "error",
)  # fmt: skip

# What a value may be refused with: by the server, or by the driver before it is sent. Whatever else
# fails is no value's fault.
_REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    ArithmeticError,
    TypeError,
    ValueError,
    struct.error,
)

_COLUMNS = """
select array_agg(attname::text order by attnum) from pg_attribute
where attrelid = to_regclass('staging.' || %s) and attnum > 0 and not attisdropped
"""


def add_client_tasks(session: psycopg.Connection, run: Run, schedule: Schedule) -> int:
    """Put those of the window's roster who are due on the ledger, once; returns how many."""
    with session.transaction():
        schedule_clients(session, run.feed, run.window, schedule)
        enlisted = _add_tasks(session, run, "add_client_tasks", {})
        session.execute(query("defer_clients"), {"run_id": run.run_id})
    return enlisted


def add_tasks_again(session: psycopg.Connection, run: Run, client_ids: Sequence[int]) -> int:
    """Forget that some clients are up to date, and put them on the ledger to be read in full.

    Returns how many clients are on the ledger: a run that was stopped has others too.
    """
    values = {"run_id": run.run_id, "endpoint": run.feed, "clients": list(client_ids)}
    with session.transaction():
        session.execute(query("forget_clients"), values)
        schedule_clients(session, run.feed, run.window, Schedule(audit_share=0))
        session.execute(
            "update scheduled set is_due = client_id = any(%(clients)s), is_whole = true", values
        )
        enlisted = _add_tasks(session, run, "add_client_tasks", {})
        session.execute(
            "update sync.fetches set status = 'pending', is_whole = true"
            " where run_id = %(run_id)s and client_id = any(%(clients)s)",
            values,
        )
        session.execute(query("defer_clients"), values)
    return enlisted


def add_day_tasks(session: psycopg.Connection, run: Run, days: Iterable[date]) -> int:
    """Put registration days on the ledger, once; returns how many there are."""
    return _add_tasks(session, run, "add_day_tasks", {"days": list(days)})


def next_tasks(
    session: psycopg.Connection, run: Run, *, is_priority: bool, after: Task | None, most: int
) -> list[Task]:
    """The next things to read, in the order of the ledger, with what is known of each."""
    name = "next_days" if feed_named(run.feed).is_by_day else "next_clients"
    values = {
        "run_id": run.run_id,
        "endpoint": run.feed,
        "after_client": after.client_id if after else -1,
        "after_day": after.day if after else date.min,
        "is_priority": is_priority,
        "most": most,
    }
    with session.cursor(row_factory=class_row(Task)) as cursor:
        return cursor.execute(query(name), values).fetchall()


def others_to_ask(session: psycopg.Connection, run: Run) -> list[Task]:
    """A few that the service should answer for, to be asked before a run stops."""
    name = "others_of_days" if feed_named(run.feed).is_by_day else "others_of_clients"
    values = {"run_id": run.run_id, "endpoint": run.feed, "day": run.window.first}
    with session.cursor(row_factory=class_row(Task)) as cursor:
        return cursor.execute(query(name), values).fetchall()


def make_staging(session: psycopg.Connection, run: Run, tables: Sequence[CoreTable]) -> None:
    """Make the run's landing tables where they are missing.

    One that an older version of the program left with other columns is made anew: the publish
    notices that its rows are gone, and has them read again.
    """
    for table in tables:
        wanted = ["fetch_id", "fetch_day", *table.landing_columns]
        found = session.execute(_COLUMNS, (f"{table.name}_r{run.run_id}",)).fetchone()
        if found and found[0] and found[0] != wanted:
            session.execute(sql.SQL("drop table {}").format(staging_of(run, table)))
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in zip(table.landing_columns, table.landing_types, strict=True)
        )
        session.execute(
            sql.SQL(
                "create unlogged table if not exists {} (fetch_id bigint, fetch_day date, {})"
            ).format(staging_of(run, table), columns)
        )


def staging_of(run: Run, table: CoreTable) -> sql.Identifier:
    """The run's landing table for a core table."""
    return sql.Identifier("staging", f"{table.name}_r{run.run_id}")


def record_outcomes(
    session: psycopg.Connection, run: Run, tables: Sequence[CoreTable], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Stage the records of some outcomes and close their ledger rows, in one transaction.

    Where the database refuses a value of one of them, that one is stored as failed, and the others
    in transactions of their own. Returns those that failed so.
    """
    try:
        _record(session, run, tables, outcomes)
    except _REFUSED as error:
        half = len(outcomes) // 2
        if half:
            refused = record_outcomes(session, run, tables, outcomes[:half])
            return refused + record_outcomes(session, run, tables, outcomes[half:])
        failed = _refused(outcomes[0], error)
        _record(session, run, tables, [failed])
        return [failed]
    return []


def _record(
    session: psycopg.Connection, run: Run, tables: Sequence[CoreTable], outcomes: Sequence[Outcome]
) -> None:
    with session.transaction():
        session.execute("set local synchronous_commit = off")
        again = _close(session, run, outcomes)
        if again:
            _withdraw_quarantine(session, run, [outcome.task for outcome in again])
        # What a failure leaves in staging is not published.
        if staged := [o.task for o in again if o.landing.staged or o.status == "done"]:
            _forget_staged(session, run, tables, staged)
        for table in tables:
            _copy(session, run, table, outcomes)
        _quarantine(session, run, outcomes)


def _refused(outcome: Outcome, error: Exception) -> Outcome:
    """The outcome as a failure; the reason names the rule, never the value that broke it."""
    rule = type(error).__name__
    if isinstance(error, psycopg.Error) and error.sqlstate:
        told = (error.diag.table_name, error.diag.constraint_name, error.diag.column_name)
        rule = " ".join([f"SQLSTATE {error.sqlstate}", *(name for name in told if name)])
    reason = f"the warehouse refused a value of the answer ({rule})"
    one = outcome.task
    logger.error("%s: %s", f"client {one.client_id}" if one.client_id else one.day, reason)
    return Outcome(outcome.task, "failed", outcome.read_at, error=reason)


def _add_tasks(session: psycopg.Connection, run: Run, name: str, values: dict[str, Any]) -> int:
    window = {"first": run.window.first, "last": run.window.last}
    base = {"run_id": run.run_id, "endpoint": run.feed, **window, **values}
    with session.transaction():
        session.execute(query(name), base)
        session.execute(
            "update sync.fetches set status = 'pending'"
            " where run_id = %(run_id)s and status in ('unproven', 'failed')",
            base,
        )
        row = session.execute(
            "update sync.runs set clients ="
            " (select count(*) from sync.fetches where run_id = %(run_id)s)"
            " where run_id = %(run_id)s returning clients",
            base,
        ).fetchone()
    return int(row[0]) if row else 0


def _close(session: psycopg.Connection, run: Run, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write the ledger rows; returns those read again, whose rows may be stored already."""
    rows = [_ledger_row(outcome) for outcome in outcomes]
    columns = {
        name: list(values)
        for name, values in zip(_OUTCOME_COLUMNS, zip(*rows, strict=True), strict=True)
    }
    closed = session.execute(query("close_fetches"), {"run_id": run.run_id, **columns})
    before = set(closed.fetchall())
    return [o for o in outcomes if (o.task.client_id, o.task.day) in before]


def _withdraw_quarantine(session: psycopg.Connection, run: Run, again: Sequence[Task]) -> None:
    session.execute(
        query("withdraw_quarantine"),
        {
            "run_id": run.run_id,
            "clients": [task.client_id for task in again],
            "days": [task.day for task in again],
        },
    )


def _forget_staged(
    session: psycopg.Connection, run: Run, tables: Sequence[CoreTable], again: list[Task]
) -> None:
    """A reading that is done again replaces what it staged before."""
    values = {"ids": [a.client_id for a in again], "days": [a.day for a in again]}
    for table in tables:
        session.execute(
            sql.SQL(
                "delete from {} t using unnest(%(ids)s::bigint[], %(days)s::date[]) as a (id, d)"
                " where t.fetch_id = a.id and t.fetch_day = a.d"
            ).format(staging_of(run, table)),
            values,
        )


def _copy(
    session: psycopg.Connection, run: Run, table: CoreTable, outcomes: Sequence[Outcome]
) -> None:
    if not any(table.name in outcome.landing.records for outcome in outcomes):
        return
    columns = sql.SQL(", ").join(
        map(sql.Identifier, ("fetch_id", "fetch_day", *table.landing_columns))
    )
    statement = sql.SQL("/* tag: rows-staged */ copy {} ({}) from stdin (format binary)").format(
        staging_of(run, table), columns
    )
    with session.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int8", "date", *table.landing_types])
        for outcome in outcomes:
            prefix = (outcome.task.client_id, outcome.task.day)
            for record in outcome.landing.records.get(table.name, ()):
                copy.write_row(prefix + record)


def _quarantine(session: psycopg.Connection, run: Run, outcomes: Sequence[Outcome]) -> None:
    bad = [row for outcome in outcomes for row in outcome.landing.bad_rows]
    if bad:
        session.cursor().executemany(
            query("quarantine_row"),
            [{"endpoint": run.feed, "run_id": run.run_id, **vars(row)} for row in bad],
        )
    # Cut, or a long name would not fit into the index; tame, as people read the table.
    met = frozenset[str]().union(*(outcome.landing.unknown_fields for outcome in outcomes))
    names = {shown(name, _LONGEST_FIELD) for name in met}
    if names:
        session.execute(
            query("note_unknown_fields"),
            {"endpoint": run.feed, "names": sorted(names), "most": MOST_UNKNOWN_FIELDS},
        )


def _ledger_row(outcome: Outcome) -> tuple[Any, ...]:
    return (
        outcome.task.client_id,
        outcome.task.day,
        outcome.status,
        outcome.reading,
        outcome.has_header,
        outcome.single_page,
        outcome.source_total,
        outcome.landing.staged,
        len(outcome.landing.bad_rows),
        outcome.task.version,
        outcome.read_at,
        outcome.fingerprint,
        outcome.head,
        outcome.header_digest,
        outcome.error,
    )
