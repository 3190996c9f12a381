"""Forgets old runs, as Dagster by itself keeps every event of every run for ever.

What stays of a forgotten run: that its days were materialized, when, and with which metadata (the
newest time of each day and asset), and the last answer of each check. Everything else goes: the
run, its log, planned events, materializations and check answers that newer ones replaced.

`instance.delete_run` would also take the materializations, and the days
would look as if they had never been synced. So this knows Dagster's tables.
"""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from lcm_pipeline.orchestration.dagster_internals import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
    SqliteEventLogStorage,
)

KEPT_DAYS = 30
_MOST_AT_ONCE = 500
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

_events = SqlEventLogStorageTable.c
_answers = AssetCheckExecutionsTable.c


def forget_old_runs(
    instance: dg.DagsterInstance, *, now: datetime, most: int = _MOST_AT_ONCE
) -> int:
    """Forget runs that were made more than KEPT_DAYS ago and have ended; returns how many."""
    long_ago = dg.RunsFilter(statuses=_ENDED, created_before=now - timedelta(days=KEPT_DAYS))
    records = instance.get_run_records(long_ago, limit=most, ascending=True)
    for record in records:
        _forget(instance, record.dagster_run.run_id)
    return len(records)


def _forget(instance: dg.DagsterInstance, run_id: str) -> None:
    log = instance.event_log_storage
    if isinstance(log, SqlEventLogStorage):
        with log.index_connection() as connection:
            for statement in _deletes(run_id):
                connection.execute(statement)
    if isinstance(log, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm"):
            Path(log.path_for_shard(run_id) + suffix).unlink(missing_ok=True)
    # Last, so that what is broken off here is begun again.
    instance.run_storage.delete_run(run_id)


def _deletes(run_id: str) -> tuple[sa.Delete, ...]:
    newer = SqlEventLogStorageTable.alias().c
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION.value
    is_replaced = sa.exists().where(
        newer.asset_key == _events.asset_key,
        newer.dagster_event_type == kind,
        newer.partition == _events.partition,
        newer.id > _events.id,
    )
    is_superfluous = sa.or_(
        _events.dagster_event_type.is_(None), _events.dagster_event_type != kind, is_replaced
    )
    going = (_events.run_id == run_id, is_superfluous)
    later = AssetCheckExecutionsTable.alias().c
    is_answered_again = sa.exists().where(
        later.asset_key == _answers.asset_key,
        later.check_name == _answers.check_name,
        later.id > _answers.id,
    )
    return (
        sa.delete(AssetEventTagsTable).where(
            AssetEventTagsTable.c.event_id.in_(sa.select(_events.id).where(*going))
        ),
        sa.delete(SqlEventLogStorageTable).where(*going),
        sa.delete(AssetCheckExecutionsTable).where(_answers.run_id == run_id, is_answered_again),
    )
