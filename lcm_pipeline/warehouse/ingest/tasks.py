"""The ledger: the tasks of a run, which session reads them, and the outcome of each.

Rows are staged in the same transaction as their ledger row, so a killed run continues where it
stopped.
"""

import logging
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

import psycopg

from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.model.tasks import MAX_UNKNOWN_FIELDS, Outcome, Task
from lcm_pipeline.model.texts import shorten
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest.resets import reset_clients
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.schedule import Schedule, schedule_clients
from lcm_pipeline.warehouse.ingest.staging import copy_records, make_staging, staging_of
from lcm_pipeline.warehouse.queries import (
    composed,
    fetch_column,
    fetch_rows,
    fetch_value,
    query,
)
from lcm_pipeline.warehouse.redaction import rule_of
from lcm_pipeline.warehouse.sessions import analyze

AddTasks = Callable[[Session, Run], None]

logger = logging.getLogger(__name__)

_LONGEST_FIELD = 200

# With the statistics of before the run, each claim would sort all tasks that are left. Autovacuum
# runs once a minute; a run of 2,000 clients is over by then.
_TASKS_TO_ANALYZE = 1_000

# Errors that a bad value causes: from the server, or from the driver before the value is sent.
# Other errors have other causes, and fail the run.
_VALUE_ERRORS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    ArithmeticError,
    TypeError,
    ValueError,
    struct.error,
)


class TaskCounts(NamedTuple):
    """The number of tasks of a run, and the number of those not read yet."""

    tasks: int
    pending: int


class OtherReader(NamedTuple):
    """A session of another process that reads tasks of a run.

    tasks: the pending tasks that it has claimed. since: when it began, with time zone.
    """

    tasks: int
    pid: int
    user_name: str | None
    since: datetime | None


def prepare_run(
    session: Session,
    run: Run,
    tables: Sequence[CoreTable],
    add_tasks: AddTasks,
    fresh_from: datetime,
    command_id: int | None,
) -> bool:
    """Make the staging tables of a run, add its tasks, and reopen those that have to be read again.

    Reopened are tasks that failed, or were read before `fresh_from`. The run belongs to the command
    from now on: what it publishes counts as published by it. Returns False, and changes nothing,
    if another process has ended the run: the tasks would never be published.
    """
    with session.transaction():
        if fetch_value(session, "lock_run", {"run_id": run.run_id}) != "reading":
            return False
        make_staging(session, run, tables)
        add_tasks(session, run)
        values = {"run_id": run.run_id, "fresh_from": fresh_from, "command_id": command_id}
        session.execute(query("reopen_tasks"), values)
        session.execute(query("assign_run"), values)
    return True


def add_client_tasks(session: Session, run: Run, schedule: Schedule) -> None:
    """Add a task for each due client of the window's roster; existing tasks stay as they are."""
    values = {"run_id": run.run_id}
    with session.transaction():
        schedule_clients(session, run.feed, run.window, schedule)
        added = session.execute(query("add_client_tasks"), values).rowcount
        session.execute(query("defer_clients"), values)
    if added >= _TASKS_TO_ANALYZE:
        columns = ["run_id", "task_id", "client_id", "status", "claimed_by"]
        analyze(session, "sync.fetches", columns)


def add_reread_tasks(session: Session, run: Run, client_ids: Sequence[int]) -> None:
    """Add tasks that read some clients in full, up to date or not.

    A run that was joined keeps its other tasks. No other client was due, so none is deferred.
    """
    values = {"run_id": run.run_id, "clients": list(client_ids)}
    with session.transaction():
        reset_clients(session, [run.feed], client_ids)
        schedule_clients(session, run.feed, run.window, Schedule(audit_share=0))
        session.execute(query("limit_schedule"), values)
        session.execute(query("add_client_tasks"), values)
        session.execute(query("reopen_clients"), values)


def add_day_tasks(session: Session, run: Run, days: Iterable[date]) -> None:
    """Add a task for each registration day; existing tasks stay as they are."""
    session.execute(query("add_day_tasks"), {"run_id": run.run_id, "days": list(days)})


def reopen_pages(session: Session, run: Run, from_page: int) -> None:
    """Reopen tasks whose history was in a single page of `from_page` rows or more; 0 for all."""
    session.execute(query("reopen_pages"), {"run_id": run.run_id, "from_page": from_page})


def store_task_counts(session: Session, run: Run) -> TaskCounts:
    """Store the number of tasks on the run, and return the counts."""
    row = session.execute(query("store_task_counts"), {"run_id": run.run_id}).fetchone()
    return TaskCounts(*row) if row else TaskCounts(0, 0)


def claim_tasks(session: Session, run: Run, *, after: Task | None, most: int) -> list[Task]:
    """Claim up to `most` unclaimed tasks for this session, in ledger order after the one given."""
    values = {
        "run_id": run.run_id,
        "feed": run.feed,
        "after": after.task_id if after else 0,
        "most": most,
    }
    return fetch_rows(session, Task, "claim_tasks", values)


def drop_claims(session: Session, run: Run) -> None:
    """Release the tasks that this session has claimed and not read."""
    session.execute(query("drop_claims"), {"run_id": run.run_id})


def count_pending(session: Session, run: Run) -> int:
    """The number of tasks of the run not read yet, whichever session has claimed them."""
    return int(fetch_value(session, "count_pending_tasks", {"run_id": run.run_id}) or 0)


def pending_elsewhere(session: Session, run: Run) -> OtherReader | None:
    """Another session that has claimed pending tasks of the run; None if there is none."""
    row = session.execute(query("pending_elsewhere"), {"run_id": run.run_id}).fetchone()
    return OtherReader(*row) if row and row[0] else None


def probe_tasks(session: Session, run: Run) -> list[Task]:
    """A few tasks that should succeed, to try before a run stops on failures."""
    return fetch_rows(session, Task, "probe_tasks", {"run_id": run.run_id, "feed": run.feed})


def probe_clients(session: Session) -> list[tuple[str, int]]:
    """A few clients, each with a feed to request; clients that were read come first."""
    rows = session.execute(query("probe_clients"))
    return [(row[0], row[1]) for row in rows.fetchall()]


def has_read(session: Session, run: Run) -> bool:
    """Whether any process has read a task of the run, including one that was killed since."""
    return bool(fetch_value(session, "has_read", {"run_id": run.run_id}))


def largest_single_page(session: Session, run: Run) -> tuple[int, int] | None:
    """The client with the largest history that was in a single page, and its number of rows."""
    row = session.execute(query("largest_single_page"), {"run_id": run.run_id}).fetchone()
    return (row[0], row[1]) if row else None


def fail_client(session: Session, run: Run, client_id: int, error: str) -> None:
    """Mark a client's tasks as failed after it was read; its staged rows are not published."""
    values = {"run_id": run.run_id, "client_id": client_id, "error": error}
    with session.transaction():
        failed = fetch_column(session, "fail_client", values)
        session.execute(query("withdraw_quarantine"), {"run_id": run.run_id, "tasks": failed})


def record_outcomes(
    session: Session, run: Run, tables: Sequence[CoreTable], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Stage the records of some outcomes and close their tasks, in one transaction.

    If the database refuses a value, the outcomes are halved until the one with the value is found:
    that one is stored as failed, the others in smaller transactions. Returns the failed outcomes.
    """
    try:
        _record(session, run, tables, outcomes)
    except _VALUE_ERRORS as error:
        half = len(outcomes) // 2
        if half:
            unstored = record_outcomes(session, run, tables, outcomes[:half])
            return unstored + record_outcomes(session, run, tables, outcomes[half:])
        failed = _as_failure(outcomes[0], error)
        _record(session, run, tables, [failed])
        return [failed]
    return []


def _record(
    session: Session, run: Run, tables: Sequence[CoreTable], outcomes: Sequence[Outcome]
) -> None:
    with session.transaction():
        # A batch that a crash of the server loses is read again, like its unlogged rows.
        session.execute("set local synchronous_commit = off")
        attempts = _close(session, run, outcomes)
        ours = [outcome for outcome in outcomes if outcome.task.task_id in attempts]
        again = [outcome for outcome in ours if attempts[outcome.task.task_id] > 1]
        if again:
            tasks = [outcome.task.task_id for outcome in again]
            values = {"run_id": run.run_id, "tasks": tasks}
            session.execute(query("withdraw_quarantine"), values)
        # A repeated reading replaces the rows that it staged before. Rows of a failed reading may
        # stay in staging, as they are not published.
        if staged := [o.task.task_id for o in again if o.staged.record_count or o.status == "done"]:
            for table in tables:
                delete = composed("delete_staged_rows", table=staging_of(run, table))
                session.execute(delete, {"tasks": staged})
        for table in tables:
            copy_records(session, run, table, ours)
        _quarantine(session, run, ours)


def _as_failure(outcome: Outcome, error: Exception) -> Outcome:
    """The outcome as a failure; the reason names the rule, never the value that broke it."""
    rule = type(error).__name__
    if isinstance(error, psycopg.Error) and error.sqlstate:
        rule = rule_of(error)
    reason = f"the warehouse refused a value of the response ({rule})"
    logger.error("%s: %s", outcome.task, reason)
    return Outcome(outcome.task, "failed", outcome.read_at, error=reason)


def _close(session: Session, run: Run, outcomes: Sequence[Outcome]) -> dict[int, int]:
    """Close the tasks that this session still holds; returns the attempts by task id."""
    columns = {
        "task_id": [outcome.task.task_id for outcome in outcomes],
        "status": [outcome.status for outcome in outcomes],
        "reading": [outcome.reading for outcome in outcomes],
        "has_header": [outcome.has_envelope for outcome in outcomes],
        "single_page": [outcome.single_page for outcome in outcomes],
        "rows": [outcome.source_total for outcome in outcomes],
        "staged": [outcome.staged.record_count for outcome in outcomes],
        "expired": [outcome.expired for outcome in outcomes],
        "quarantined": [len(outcome.staged.bad_rows) for outcome in outcomes],
        "base_version": [outcome.task.version for outcome in outcomes],
        "read_at": [outcome.read_at for outcome in outcomes],
        "fingerprint": [outcome.fingerprint for outcome in outcomes],
        "head": [outcome.recent_rows for outcome in outcomes],
        "header_digest": [outcome.envelope_digest for outcome in outcomes],
        "error": [outcome.error for outcome in outcomes],
        "is_refused": [outcome.is_refused for outcome in outcomes],
    }
    rows = session.execute(query("close_tasks"), {"run_id": run.run_id, **columns})
    return dict(rows.fetchall())


def _quarantine(session: Session, run: Run, outcomes: Sequence[Outcome]) -> None:
    bad = [row for outcome in outcomes for row in outcome.staged.bad_rows]
    if bad:
        session.cursor().executemany(
            query("quarantine_row"),
            [{"feed": run.feed, "run_id": run.run_id, **vars(row)} for row in bad],
        )
    # Truncated, since a long name does not fit into the index; without control characters, since
    # people print the table.
    unknown = frozenset[str]().union(*(outcome.staged.unknown_fields for outcome in outcomes))
    names = {shorten(name, _LONGEST_FIELD) for name in unknown}
    if names:
        session.execute(
            query("record_unknown_fields"),
            {"feed": run.feed, "names": sorted(names), "most": MAX_UNKNOWN_FIELDS},
        )
