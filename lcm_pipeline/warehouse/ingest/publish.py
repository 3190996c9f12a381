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

Before anything is written, the fuses compare it with what is stored, see `fuses`.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg.sql import SQL

from lcm_pipeline.model.tables import COVERED_OFFERS, NAME_DIMENSIONS, CoreTable, clients
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest import fuses, merge
from lcm_pipeline.warehouse.ingest.fuses import PublishRefusedError
from lcm_pipeline.warehouse.ingest.merge import TaskRange
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.staging import analyze_staged, index_staged, staging_of
from lcm_pipeline.warehouse.ingest.state import read_kept_from
from lcm_pipeline.warehouse.partitions import MonthsRefusedError, ensure_partitions, months_of_now
from lcm_pipeline.warehouse.queries import composed, fetch_column, fetch_value, query
from lcm_pipeline.warehouse.redaction import redact_rows
from lcm_pipeline.warehouse.sessions import analyze, grant_memory

logger = logging.getLogger(__name__)

# All tasks of a run.
_ANY_TASK = TaskRange(0, 2**63 - 1)
# A client is retired after this many consecutive runs in which the source refused it, while it
# returned data for other clients.
_MAX_REFUSALS = 3


def publish(
    session: Session,
    run: Run,
    tables: Sequence[CoreTable],
    *,
    delete_fuse: float,
    growth_fuse: float,
    allow_partial: bool = False,
    batch_rows: int = 1_000_000,
) -> None:
    """Publish the proven tasks of the run, unless some have to be read again.

    session: an autocommit session. delete_fuse: share of the covered rows, and of the covered
    phones, that may vanish. growth_fuse: how many times the known clients may register on a day; 0
    is no limit. allow_partial: publish even if tasks have to be read again. batch_rows: rows of a
    batch, if `begin_batches` has chosen batches for the run. Raises PublishRefusedError. A run that
    another process has published meanwhile is left as it is.
    """
    _Publication(
        session, run, tables, delete_fuse, growth_fuse, allow_partial, batch_rows
    ).publish()


def begin_batches(session: Session, run: Run, batch_rows: int) -> bool:
    """Choose batches if the run is a first load of more than `batch_rows` rows.

    Returns whether it did. From then on, no day of its feed is complete until the run is published.
    """
    values = {"run_id": run.run_id, "batch_rows": batch_rows}
    return session.execute(query("begin_batches"), values).fetchone() is not None


@dataclass(frozen=True)
class _Publication:
    """One call of `publish`, which explains the fields."""

    session: Session
    run: Run
    tables: Sequence[CoreTable]
    delete_fuse: float
    growth_fuse: float
    allow_partial: bool
    batch_rows: int

    def publish(self) -> None:
        with self.session.transaction():
            if self._is_published():
                return
            months: dict[str, list[date]] = {}
            for table in self.tables:
                if table.date_column is not None:
                    staging = staging_of(self.run, table)
                    listed = merge.statement("staged_months", table, staging=staging)
                    months[table.name] = [month for (month,) in self.session.execute(listed)]
        for table in self.tables:
            self._prepare_partitions(table, months.get(table.name, []))
        with redact_rows(f"{self.run.feed}: the publish"):
            self._publish_batches()
            self._publish_rest()

    def _publish_rest(self) -> None:
        """Publish what the batches have left, and end the publish, in one transaction."""
        with locks.exclusive(self.session, locks.PUBLISH):
            if self._is_published():
                return
            grant_memory(self.session)
            again = self._select_tasks()
            if again and not self.allow_partial:
                return
            self._retire_clients()
            self._open_views()
            general = [table for table in self.tables if table.publish_query is None]
            kept_from = read_kept_from(self.session)
            for table in general:
                self._collect(table, kept_from)
            fuses.check_vanished_rows(self.session, self.run, general[0], self.delete_fuse)
            if clients in self.tables:
                fuses.check_vanished_phones(self.session, self.run, self.delete_fuse)
                fuses.check_growth(self.session, self.run, self.growth_fuse)
            for table in general:
                if table.moves_between_clients:
                    self._collect_moved(table, kept_from)
            written = deleted = 0
            values = {"run_id": self.run.run_id}
            for table in general:
                if table.has_history:
                    self.session.execute(merge.statement("store_history", table))
                write = merge.statement("write_changed", table)
                written += self.session.execute(write, values).rowcount
            for table in general:
                mark = merge.statement("mark_gone", table)
                deleted += self.session.execute(mark, values).rowcount
            written += self._follow_up()
            self._record_changes()
            self._record_proven()
            self._record_published(written, deleted)
            self._analyze_outgrown()

    def _publish_batches(self) -> None:
        """Publish clients and days that are not stored yet in batches."""
        batches = self._plan_batches()
        for number, batch in enumerate(batches, start=1):
            is_stored = False
            # A violation: a stored row that no client state knows of, which the last transaction
            # can replace. It and a rollback leave `is_stored` at False.
            with (
                suppress(psycopg.errors.UniqueViolation),
                locks.exclusive(self.session, locks.PUBLISH),
            ):
                self._publish_batch(batch)
                is_stored = True
            if not is_stored:
                logger.warning(
                    "%s: rows of clients that were never read are already stored; the remaining"
                    " tasks are published in one transaction",
                    self.run.feed,
                )
                break
            logger.info("%s: batch %s of %s is published", self.run.feed, number, len(batches))

    def _plan_batches(self) -> list[TaskRange]:
        """The batches; none for a run that is not a first load.

        Also none while tasks have to be read again.
        """
        with locks.exclusive(self.session, locks.PUBLISH):
            if not fetch_value(self.session, "is_in_batches", {"run_id": self.run.run_id}):
                return []
            for table in self.tables:
                analyze_staged(self.session, self.run, table)
            self._judge_tasks(_ANY_TASK)
            again = self.session.execute(query("count_tasks_to_repeat")).fetchone()
            if again != (0,) and not self.allow_partial:
                return []
            self.session.execute(query("select_new_tasks"))
            if clients in self.tables:
                self.session.execute("analyze publishing")
                self.session.execute(merge.view_incoming(self.run, clients, _ANY_TASK))
                fuses.check_growth(self.session, self.run, self.growth_fuse)
            values = {"batch_rows": self.batch_rows}
            batches = self.session.execute(query("plan_batches"), values).fetchall()
            for table in self.tables:
                # The index lets each batch find its rows without reading those of the others.
                index_staged(self.session, self.run, table)
        return [TaskRange(*batch) for batch in batches]

    def _publish_batch(self, batch: TaskRange) -> None:
        """Publish the new tasks of a range of the ledger, in the caller's transaction.

        Rolls back if a phone would vanish, as a batch only inserts rows.
        """
        if self._is_published():
            return
        grant_memory(self.session)
        self._judge_tasks(batch)
        self.session.execute(query("select_new_tasks"))
        self.session.execute("analyze publishing")
        for table in self.tables:
            self.session.execute(merge.view_incoming(self.run, table, batch))
        if clients in self.tables:
            vanished = self.session.execute(query("count_vanished_phones")).fetchone()
            if vanished and vanished[0]:
                raise psycopg.Rollback
        self.session.execute(query("reinstate_responding"))
        written = 0
        for table in self.tables:
            if table.publish_query is None:
                # All rows are new, and none is gone.
                self.session.execute(merge.statement("view_all_as_changed", table))
                self.session.execute(merge.statement("view_none_as_gone", table))
                written += self.session.execute(
                    merge.statement("insert_incoming", table), {"run_id": self.run.run_id}
                ).rowcount
        written += self._follow_up()
        self._record_proven()
        self.session.execute(
            query("add_batch_rows"), {"run_id": self.run.run_id, "written": written}
        )
        self._analyze_outgrown()

    def _analyze_outgrown(self) -> None:
        names = [table.name for table in self.tables]
        for name in fetch_column(self.session, "outgrown_tables", {"table_names": names}):
            analyze(self.session, name)

    def _is_published(self) -> bool:
        """Whether another process has published the run; if not, locks it until the commit."""
        status = fetch_value(self.session, "lock_run", {"run_id": self.run.run_id}) or "missing"
        if status not in ("reading", "published"):
            raise PublishRefusedError(
                f"{self.run.feed}: another process ended the run: it is {status}"
            )
        return bool(status == "published")

    def _prepare_partitions(self, table: CoreTable, months: Sequence[date]) -> None:
        if table.has_history:
            ensure_partitions(self.session, "history", table.name, months_of_now(self.session))
        if table.date_column is None:
            return
        try:
            ensure_partitions(self.session, "core", table.name, months)
        except MonthsRefusedError as refused:
            # The transform quarantines such rows; these were staged by an older version.
            raise PublishRefusedError(
                f"{self.run.feed}: {refused}. Nothing was published. Run the same command again: it"
                " reads these rows again and puts them into quarantine"
            ) from refused

    def _select_tasks(self) -> int:
        """Create the table `publishing` of the tasks to take; returns how many to read again."""
        for table in self.tables:
            analyze_staged(self.session, self.run, table)
        self._judge_tasks(_ANY_TASK)
        values = {"run_id": self.run.run_id}
        self.session.execute(query("record_verdicts"), values)
        again = int(fetch_value(self.session, "count_pending_tasks", values) or 0)
        self.session.execute(query("select_tasks"))
        self.session.execute("analyze publishing")
        return again

    def _judge_tasks(self, task_range: TaskRange) -> None:
        """Create the table `judged`: for each task read, in the range, whether it can be taken."""
        kept_from = read_kept_from(self.session)
        counts = SQL(" union all ").join(
            merge.count_staged(self.run, table, task_range, kept_from) for table in self.tables
        )
        self.session.execute(composed("sum_staged_counts", counts=counts))
        values = {
            "run_id": self.run.run_id,
            "feed": self.run.feed,
            **task_range._asdict(),
        }
        self.session.execute(query("judge_tasks"), values)

    def _open_views(self) -> None:
        for table in self.tables:
            self.session.execute(merge.view_incoming(self.run, table, _ANY_TASK))
        self.session.execute(query("cover"))
        if any(table.covered_by is COVERED_OFFERS for table in self.tables):
            self.session.execute(query("cover_offers"))

    def _collect(self, table: CoreTable, kept_from: date | None) -> None:
        days = None
        if table.date_column is not None:
            found = self.session.execute(merge.statement("incoming_days", table)).fetchone()
            days = found if found and found[0] else None
        self.session.execute(merge.collect_changed(table, days))
        self.session.execute(merge.statement("analyze_changed", table))
        if merge.moves_within_clients(table):
            self.session.execute(merge.statement("collect_doubtful", table))
            self.session.execute(merge.statement("analyze_doubtful", table))
        self.session.execute(merge.collect_gone(table, kept_from))
        if table.date_column is not None:
            self.session.execute(merge.add_moved_days_to_gone(table, kept_from))
        self.session.execute(merge.statement("analyze_gone", table))

    def _retire_clients(self) -> None:
        """Mark clients without a proven reading as pending; retire those the source has lost."""
        values = {"run_id": self.run.run_id, "feed": self.run.feed, "most_refusals": _MAX_REFUSALS}
        self.session.execute(query("leave_pending_clients"), values)
        self.session.execute(query("reinstate_responding"))
        self.session.execute(query("retire_clients"), values)
        # A run is published again when others add tasks meanwhile, or the response to the commit
        # is lost.
        self.session.execute(query("clear_refusals"), values)
        for name in ("close_retired_tasks", "resolve_retired_quarantine", "clear_retired_state"):
            self.session.execute(query(name), values)

    def _collect_moved(self, table: CoreTable, kept_from: date | None) -> None:
        """Delete rows of retired clients that other clients have now.

        They are added after the fuse was checked, since they are not lost.
        """
        values = {"feed": self.run.feed}
        # Totals do not include the rows of days that are no longer kept.
        is_kept = merge.is_kept(table, kept_from)
        collect = merge.statement("collect_moved_rows", table, is_kept=is_kept)
        self.session.execute(collect, values)
        self.session.execute(merge.statement("add_moved_to_gone", table))
        self.session.execute(merge.statement("lower_totals_of_retired", table), values)
        self.session.execute(query("record_retired_comparison"), values)

    def _follow_up(self) -> int:
        """Publish the tables with a query of their own, and run follow-up statements."""
        names = {table.name for table in self.tables}
        values = {"run_id": self.run.run_id, "last": self.run.window.last}
        written = 0
        for table in self.tables:
            if table.publish_query is not None:
                written += self.session.execute(query(table.publish_query), values).rowcount
        for dimension in NAME_DIMENSIONS:
            if dimension.source in names:
                self.session.execute(merge.store_names(dimension), values)
        for name in (name for table in self.tables for name in table.follow_up_queries):
            self.session.execute(query(name), values)
        return written

    def _record_changes(self) -> None:
        """Record the changes for the marts; after batches the marts compute everything."""
        for name in (name for table in self.tables for name in table.change_queries):
            self.session.execute(query(name))
        for table in self.tables:
            if table.date_column is not None and table.publish_query is None:
                record = merge.statement("record_changed_days", table)
                self.session.execute(record, {"table_name": table.name})
        self.session.execute(query("delete_horizons"), {"run_id": self.run.run_id})

    def _record_proven(self) -> None:
        """Store the proven state of the tasks in `publishing`, and close them."""
        values = {"run_id": self.run.run_id, "feed": self.run.feed, "last": self.run.window.last}
        for name in ("resolve_quarantine", "store_clients", "store_days", "publish_tasks"):
            self.session.execute(query(name), values)

    def _record_published(self, written: int, deleted: int) -> None:
        """Store the counts on the run, and record the days as published."""
        values = {
            "run_id": self.run.run_id,
            "feed": self.run.feed,
            "first": self.run.window.first,
            "last": self.run.window.last,
            "written": written,
            "deleted": deleted,
        }
        for name in ("leave_pending_days", "store_publish_counts", "publish_window_days"):
            self.session.execute(query(name), values)
