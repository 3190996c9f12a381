"""Publishing a run: everything that it proved becomes visible in one transaction.

A first load is the exception: nothing of its feed is visible yet, and one transaction over all its
rows would need as much disk again for comparing and sorting. It is published in batches of tasks,
each in its own transaction. Until the usual transaction ends the publish, `sync.day_completeness`
shows all days of the feed as incomplete. A batch only inserts rows; everything that might replace
or delete rows is left to that last transaction.

A task is taken if all its staged records are there and no other run published the same client since
it was read; otherwise it is read again, or counts as superseded by a newer reading. While tasks
have to be read again nothing is published, or a reader would see a part of the day. A lock
serializes publishes; readers are never locked out.

Clients that the source no longer knows are retired in the same transaction as the rows; the rule is
in sql/migrations/0022_retire_clients.sql.

A failing source may return responses that look valid. So three fuses compare what is about to be
written with what is stored: rows that vanish, phones that vanish, a roster that grows suddenly.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import ceil

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.tables import NAME_DIMENSIONS, WHOLE_OFFERS, CoreTable
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.ingest import merge
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.state import read_kept_from
from lcm_pipeline.warehouse.ingest.tasks import analyze_staged, index_staged, staging_of
from lcm_pipeline.warehouse.partitions import MonthsRefused, ensure_partitions, months_ahead
from lcm_pipeline.warehouse.queries import fetch_value, query
from lcm_pipeline.warehouse.redaction import redact_rows
from lcm_pipeline.warehouse.sessions import analyze, grant_memory

logger = logging.getLogger(__name__)

# All tasks of a run.
_ANY_TASK = (0, 2**63 - 1)
# So many rows may vanish whatever their share, unless they are more than half: in a programme of
# a dozen leads, one that is deleted as spam would stop each sync from then on.
_FEW_ROWS = 10
# A client is retired after this many consecutive runs in which the source refused it, while it
# returned data for other clients.
_MOST_REFUSALS = 3
# This many clients may always register on a day: the start of a programme is not a failure.
_FEW_CLIENTS = 10_000


class PublishRefused(Exception):  # noqa: N818 - the name that the message completes
    """A fuse tripped, or rows have no plausible day; nothing was written.

    The message states what would have been published, and what to do if the source is right.
    """


@dataclass(frozen=True)
class PublishCounts:
    """The counts of a publish. again: tasks that have to be read again before they are taken."""

    written: int
    deleted: int
    again: int


def publish(
    session: psycopg.Connection,
    run: Run,
    tables: Sequence[CoreTable],
    *,
    delete_fuse: float,
    growth_fuse: float = 0,
    partly: bool = False,
    batch_rows: int = 1_000_000,
) -> PublishCounts:
    """Publish the proven tasks of the run, unless some have to be read again.

    session: an autocommit session. delete_fuse: share of the covered rows, and of the covered
    phones, that may vanish. growth_fuse: how many times the known clients may register on a day; 0
    is no limit. partly: publish even if tasks have to be read again. batch_rows: rows of a batch,
    if `begin_batches` has chosen batches for the run. Raises PublishRefused. A run that another
    process has published meanwhile is left as it is.
    """
    with session.transaction():
        if _is_published(session, run):
            return PublishCounts(0, 0, 0)
        months = {table.name: _staged_months(session, run, table) for table in tables}
    for table in tables:
        _prepare_partitions(session, run, table, months[table.name])
    with redact_rows(f"{run.feed}: the publish"):
        in_batches = _publish_batches(session, run, tables, batch_rows, growth_fuse, partly=partly)
        published = _publish_rest(session, run, tables, delete_fuse, growth_fuse, partly=partly)
    return replace(published, written=published.written + in_batches)


def begin_batches(session: psycopg.Connection, run: Run, batch_rows: int) -> bool:
    """Choose batches if the run is a first load of more than `batch_rows` rows.

    Returns whether it did. From then on, no day of its feed is complete until the run is published.
    """
    values = {"run_id": run.run_id, "batch_rows": batch_rows}
    return session.execute(query("begin_batches"), values).fetchone() is not None


def _publish_rest(
    session: psycopg.Connection,
    run: Run,
    tables: Sequence[CoreTable],
    delete_fuse: float,
    growth_fuse: float,
    *,
    partly: bool,
) -> PublishCounts:
    """Publish everything that the batches have left, and end the publish, in one transaction."""
    with locks.exclusive(session, locks.PUBLISH):
        if _is_published(session, run):
            return PublishCounts(0, 0, 0)
        grant_memory(session)
        again = _select_tasks(session, run, tables)
        if again and not partly:
            return PublishCounts(0, 0, again)
        _retire_clients(session, run)
        _open_views(session, run, tables)
        general = [table for table in tables if table.publish_query is None]
        kept_from = read_kept_from(session)
        for table in general:
            _collect(session, table, kept_from)
        _check_vanished_rows(session, run, general[0], delete_fuse)
        if any(table.name == "clients" for table in tables):
            _check_vanished_phones(session, run, delete_fuse)
            _check_growth(session, run, growth_fuse)
        for table in general:
            if table.moves_between_clients:
                _collect_moved(session, run, table, kept_from)
        written = sum(_write(session, run, table) for table in general)
        values = {"run_id": run.run_id}
        deleted = sum(session.execute(merge.mark_gone(table), values).rowcount for table in general)
        written += _follow_up(session, run, tables)
        _record_changes(session, run, tables)
        _record_proven(session, run)
        _record_published(session, run, written, deleted)
        _analyze_outgrown(session, tables)
    return PublishCounts(written, deleted, again)


def _publish_batches(
    session: psycopg.Connection,
    run: Run,
    tables: Sequence[CoreTable],
    batch_rows: int,
    growth_fuse: float,
    *,
    partly: bool,
) -> int:
    """Publish the clients and days that are not stored yet in batches; returns the rows written.

    Does nothing for a run that is not a first load, or while tasks have to be read again.
    """
    values = {"run_id": run.run_id}
    with locks.exclusive(session, locks.PUBLISH):
        if not fetch_value(session, "is_in_batches", values):
            return 0
        for table in tables:
            analyze_staged(session, run, table)
        _judge_tasks(session, run, tables, _ANY_TASK)
        again = session.execute(query("count_tasks_to_repeat")).fetchone()
        if again != (0,) and not partly:
            return 0
        session.execute(query("select_new_tasks"))
        for table in tables:
            if table.name == "clients":
                session.execute("analyze publishing")
                session.execute(merge.incoming_view(run, table, _ANY_TASK))
                _check_growth(session, run, growth_fuse)
        batches = session.execute(query("plan_batches"), {"batch_rows": batch_rows}).fetchall()
        for table in tables:
            # The index lets each batch find its rows without reading those of the others.
            index_staged(session, run, table)
    written = 0
    for number, batch in enumerate(batches, start=1):
        done = None
        try:
            with locks.exclusive(session, locks.PUBLISH):
                done = _publish_batch(session, run, tables, batch)
        except psycopg.errors.UniqueViolation:
            # A stored row that no client state knows of: the last transaction can replace it.
            done = None
        if done is None:
            logger.warning(
                "%s: rows of clients that were never read are already stored; the remaining tasks"
                " are published in one transaction", run.feed,
            )  # fmt: skip
            break
        written += done
        logger.info("%s: batch %s of %s is published", run.feed, number, len(batches))
    return written


def _publish_batch(
    session: psycopg.Connection, run: Run, tables: Sequence[CoreTable], batch: tuple[int, int]
) -> int | None:
    """Publish the new tasks of a range of the ledger, in the caller's transaction.

    Returns the rows written. Rolls back if a phone would vanish, as a batch only inserts rows.
    """
    if _is_published(session, run):
        return 0
    grant_memory(session)
    _judge_tasks(session, run, tables, batch)
    session.execute(query("select_new_tasks"))
    session.execute("analyze publishing")
    for table in tables:
        session.execute(merge.incoming_view(run, table, batch))
    if any(table.name == "clients" for table in tables):
        vanished = session.execute(query("count_vanished_phones")).fetchone()
        if vanished and vanished[0]:
            raise psycopg.Rollback
    session.execute(query("reinstate_responding"))
    written = 0
    for table in tables:
        if table.publish_query is None:
            session.execute(merge.views_of_new(table))
            written += session.execute(merge.insert_new(table), {"run_id": run.run_id}).rowcount
    written += _follow_up(session, run, tables)
    _record_proven(session, run)
    session.execute(query("count_batch"), {"run_id": run.run_id, "written": written})
    _analyze_outgrown(session, tables)
    return written


def _analyze_outgrown(session: psycopg.Connection, tables: Sequence[CoreTable]) -> None:
    names = [table.name for table in tables]
    for (name,) in session.execute(query("outgrown_tables"), {"table_names": names}).fetchall():
        analyze(session, name)


def _is_published(session: psycopg.Connection, run: Run) -> bool:
    """Whether another process has published the run; if not, locks it until the commit."""
    status = fetch_value(session, "lock_run", {"run_id": run.run_id}) or "missing"
    if status not in ("reading", "published"):
        raise PublishRefused(f"{run.feed}: another process ended the run: it is {status}")
    return bool(status == "published")


def _staged_months(session: psycopg.Connection, run: Run, table: CoreTable) -> list[date]:
    if table.date_column is None:
        return []
    rows = session.execute(
        SQL("select distinct date_trunc('month', {})::date from {}").format(
            Identifier(table.date_column), staging_of(run, table)
        )
    )
    return [row[0] for row in rows.fetchall()]


def _prepare_partitions(
    session: psycopg.Connection, run: Run, table: CoreTable, months: Sequence[date]
) -> None:
    if table.has_history:
        ensure_partitions(session, "history", table.name, months_ahead())
    if table.date_column is None:
        return
    try:
        ensure_partitions(session, "core", table.name, [*months, *months_ahead()])
    except MonthsRefused as refused:
        # The transform quarantines such rows; these were staged by an older version.
        raise PublishRefused(
            f"{run.feed}: {refused}. Nothing was published. Run the same command again: it reads"
            " these rows again and puts them into quarantine"
        ) from refused


def _select_tasks(session: psycopg.Connection, run: Run, tables: Sequence[CoreTable]) -> int:
    """Create the table `publishing` of the tasks to take; returns how many to read again."""
    for table in tables:
        analyze_staged(session, run, table)
    _judge_tasks(session, run, tables, _ANY_TASK)
    values = {"run_id": run.run_id}
    session.execute(query("record_verdicts"), values)
    again = int(fetch_value(session, "count_pending_tasks", values) or 0)
    session.execute(query("select_tasks"))
    session.execute("analyze publishing")
    return again


def _judge_tasks(
    session: psycopg.Connection, run: Run, tables: Sequence[CoreTable], among: tuple[int, int]
) -> None:
    """Create the table `judged`: for each task read, in the range, whether it can be taken."""
    kept_from = read_kept_from(session)
    counts = SQL(" union all ").join(
        merge.count_staged(run, table, among, kept_from) for table in tables
    )
    session.execute(
        SQL(
            "/* tag: publish-begun */ create temp table staged_counts on commit drop as"
            " select task_id, sum(staged)::int as staged, sum(expired)::int as expired"
            " from ({}) as counted group by 1"
        ).format(counts)
    )
    values = {"run_id": run.run_id, "feed": run.feed, "first": among[0], "last": among[1]}
    session.execute(query("judge_tasks"), values)


def _open_views(session: psycopg.Connection, run: Run, tables: Sequence[CoreTable]) -> None:
    for table in tables:
        session.execute(merge.incoming_view(run, table, _ANY_TASK))
    session.execute(query("cover"))
    if any(table.covered_by is WHOLE_OFFERS for table in tables):
        session.execute(query("cover_offers"))


def _collect(session: psycopg.Connection, table: CoreTable, kept_from: date | None) -> None:
    days = None
    if table.date_column is not None:
        found = session.execute(merge.incoming_days(table)).fetchone()
        days = found if found and found[0] else None
    session.execute(merge.collect_changed(table, days))
    session.execute(merge.analyze_changed(table))
    if merge.moves_within_clients(table):
        session.execute(merge.collect_doubtful(table))
        session.execute(SQL("analyze {}").format(Identifier(f"doubtful_{table.name}")))
    session.execute(merge.collect_gone(table, kept_from))
    session.execute(SQL("analyze {}").format(Identifier(f"gone_{table.name}")))


def _retire_clients(session: psycopg.Connection, run: Run) -> None:
    """Mark clients without a proven reading as pending, and retire those the source has lost."""
    values = {"run_id": run.run_id, "feed": run.feed, "most_refusals": _MOST_REFUSALS}
    session.execute(query("leave_pending_clients"), values)
    session.execute(query("reinstate_responding"))
    session.execute(query("retire_clients"), values)
    # A run is published again when others add tasks meanwhile, or the commit's response is lost.
    session.execute(query("settle_refusals"), values)
    for name in ("close_retired_tasks", "resolve_retired_quarantine", "clear_retired_state"):
        session.execute(query(name), values)


def _collect_moved(
    session: psycopg.Connection, run: Run, table: CoreTable, kept_from: date | None
) -> None:
    """Delete rows of retired clients that other clients have now.

    They are added after the fuse was checked, since they are not lost.
    """
    values = {"feed": run.feed}
    session.execute(merge.collect_moved(table, kept_from), values)
    session.execute(merge.add_moved_to_gone(table))
    session.execute(merge.lower_totals(table), values)
    session.execute(query("record_retired_comparison"), values)


def _check_vanished_rows(
    session: psycopg.Connection, run: Run, table: CoreTable, delete_fuse: float
) -> None:
    lost = session.execute(merge.count_lost(table)).fetchone()
    # Rows that are no longer kept cannot vanish.
    covered = session.execute(
        "select coalesce(sum(known_total - known_expired), 0) from publishing"
    ).fetchone()
    lost_rows, covered_rows = (int(row[0]) if row else 0 for row in (lost, covered))
    if _is_too_much(lost_rows, covered_rows, delete_fuse):
        raise PublishRefused(
            f"{run.feed}: the source no longer has {lost_rows:,} of {covered_rows:,} rows,"
            f" {_advise_delete_fuse(lost_rows, covered_rows, delete_fuse)}"
        )


def _check_vanished_phones(session: psycopg.Connection, run: Run, delete_fuse: float) -> None:
    """Count phones that the source reports as empty; a phone missing in a response stays."""
    row = session.execute(query("count_vanished_phones")).fetchone()
    lost, covered = (int(row[0]), int(row[1])) if row else (0, 0)
    if _is_too_much(lost, covered, delete_fuse):
        raise PublishRefused(
            f"{run.feed}: the source no longer has the phone of {lost:,} of {covered:,} clients,"
            f" {_advise_delete_fuse(lost, covered, delete_fuse)}"
        )


def _is_too_much(lost: int, covered: int, delete_fuse: float) -> bool:
    few = min(_FEW_ROWS, covered / 2) if delete_fuse > 0 else 0
    return lost > max(few, delete_fuse * covered)


def _advise_delete_fuse(lost: int, covered: int, delete_fuse: float) -> str:
    return (
        f"which is more than LCM_DELETE_FUSE allows ({delete_fuse:.1%}). Nothing was published. If"
        " the source is right, run again with a larger LCM_DELETE_FUSE, such as"
        f" {min(1.0, lost / max(1, covered) + 0.01):.2f}"
    )


def _check_growth(session: psycopg.Connection, run: Run, growth_fuse: float) -> None:
    """Check the number of new clients, since each one costs requests in every feed and run.

    Each day that was never polled is checked by itself, so that years can be loaded at once. Days
    that were polled before are checked together, since few clients should appear on them.
    """
    found = session.execute(query("count_new_clients")).fetchone() if growth_fuse else None
    if found is None or found[1] <= _FEW_CLIENTS:
        return
    day, new = found
    known = int(fetch_value(session, "count_other_clients", {"run_id": run.run_id}) or 0)
    if known and new > growth_fuse * known:
        raise PublishRefused(
            f"{run.feed}: {new:,} new clients registered on"
            f" {day or 'days that were polled before'}, in addition to {known:,} known ones, which"
            f" is more than LCM_GROWTH_FUSE allows ({growth_fuse:g} times as many;"
            f" {_FEW_CLIENTS:,} are always allowed). Nothing was published. If the source is right,"
            f" run again with a larger LCM_GROWTH_FUSE, such as {ceil(new / known)}, or with 0 for"
            " no limit"
        )


def _write(session: psycopg.Connection, run: Run, table: CoreTable) -> int:
    if table.has_history:
        session.execute(merge.store_history(table))
    return session.execute(merge.write_changed(table), {"run_id": run.run_id}).rowcount


def _follow_up(session: psycopg.Connection, run: Run, tables: Sequence[CoreTable]) -> int:
    """Publish the tables with a query of their own, and run follow-up statements."""
    names = {table.name for table in tables}
    values = {"run_id": run.run_id, "last": run.window.last}
    written = 0
    for table in tables:
        if table.publish_query is not None:
            written += session.execute(query(table.publish_query), values).rowcount
    for dimension in NAME_DIMENSIONS:
        if dimension.source in names:
            session.execute(merge.store_names(dimension), values)
    for name in (name for table in tables for name in table.follow_up_queries):
        session.execute(query(name), values)
    return written


def _record_changes(session: psycopg.Connection, run: Run, tables: Sequence[CoreTable]) -> None:
    """Record the changes for the marts; after batches the marts compute everything."""
    for name in (name for table in tables for name in table.change_queries):
        session.execute(query(name))
    for table in tables:
        if table.date_column is not None and table.publish_query is None:
            session.execute(merge.record_days(table), {"table_name": table.name})
    session.execute(query("forget_horizons"), {"run_id": run.run_id})


def _record_proven(session: psycopg.Connection, run: Run) -> None:
    """Store the proven state of the tasks in `publishing`, and close them."""
    values = {"run_id": run.run_id, "feed": run.feed, "last": run.window.last}
    for name in ("resolve_quarantine", "remember_clients", "remember_days", "publish_tasks"):
        session.execute(query(name), values)


def _record_published(session: psycopg.Connection, run: Run, written: int, deleted: int) -> None:
    """Store the counts on the run, and record the days as published."""
    values = {
        "run_id": run.run_id,
        "feed": run.feed,
        "first": run.window.first,
        "last": run.window.last,
        "written": written,
        "deleted": deleted,
    }
    for name in ("leave_pending_days", "count_published", "publish_window_days"):
        session.execute(query(name), values)
