"""Deletes what is old: Dagster's runs, and what is older than LCM_RETENTION_MONTHS.

Dagster itself stores every event of every run forever.

Preserved of a deleted run: the newest materialization of each asset and day, or of an asset without
days, with its metadata, and the last result of each check. Everything else is deleted: the run, its
log, planned events, and materializations and check results that newer ones replaced.

`instance.delete_run` would also delete the materializations, and the days would look as if they had
never been synced. So this module uses Dagster's tables. Materializations of days older than
LCM_RETENTION_MONTHS are deleted with their facts.

`lcm sync` does both after each successful run, and so does the nightly job of the daemon. It is not
a step of the sync: no day may fail or wait because another session reads an old month.
"""

import logging
from datetime import UTC, date, datetime, timedelta
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
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.privacy.expiration import NotRemovedError, expire

logger = logging.getLogger(__name__)

KEPT_DAYS = 30
_MAX_AT_ONCE = 500
_MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION.value
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

_events = SqlEventLogStorageTable.c
_newer = SqlEventLogStorageTable.alias().c
_check_results = AssetCheckExecutionsTable.c


def delete_old_runs(instance: dg.DagsterInstance, *, now: datetime) -> int:
    """Delete runs that were created more than KEPT_DAYS ago and have ended; returns how many."""
    before = now - timedelta(days=KEPT_DAYS)
    long_ago = dg.RunsFilter(statuses=_ENDED, created_before=before)
    records = instance.get_run_records(long_ago, limit=_MAX_AT_ONCE, ascending=True)
    for record in records:
        _delete_run(instance, record.dagster_run.run_id)
    # Those of assets without days, such as marts, that newer ones replaced. Not run by run: earlier
    # versions have deleted runs and left these.
    _delete_materializations(
        instance,
        _events.partition.is_(None),
        # Dagster stores times in UTC, without a zone.
        _events.timestamp < before.astimezone(UTC).replace(tzinfo=None),
        _is_replaced(_newer.partition.is_(None)),
    )
    return len(records)


def remove_expired(instance: dg.DagsterInstance, settings: Settings, warehouse: Warehouse) -> None:
    """Remove facts older than LCM_RETENTION_MONTHS, if it is set, and their materializations.

    What cannot be removed is logged and left for the next time: it fails no run.
    """
    if settings.retention_months is None:
        return
    now = datetime.now(UTC)
    try:
        expired = expire(warehouse, settings.retention_months, settings.zone, now)
    except NotRemovedError as error:
        logger.warning("%s", error)
        return
    for rows in expired.left:
        logger.warning(
            "%s is older than LCM_RETENTION_MONTHS, and stays until the next sync tries again: %s",
            rows.table,
            rows.left,
        )
    gone = [rows.table for rows in expired.rows if not rows.left]
    if gone:
        logger.info("removed what is older than %s: %s", expired.kept_from, ", ".join(gone))
    delete_old_days(instance, expired.kept_from)


def delete_old_days(instance: dg.DagsterInstance, kept_from: date) -> None:
    """Delete the materializations of days before this one."""
    # Days are the only partitions there are, so their order is that of the texts.
    _delete_materializations(instance, _events.partition < str(kept_from))


def _delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    log = instance.event_log_storage
    if isinstance(log, SqlEventLogStorage):
        with log.index_connection() as connection:
            _delete_superfluous(connection, run_id)
    if isinstance(log, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm"):
            Path(log.path_for_shard(run_id) + suffix).unlink(missing_ok=True)
    # Last: if this is interrupted, the run is still found and deleted next time.
    instance.run_storage.delete_run(run_id)


def _delete_superfluous(connection: sa.Connection, run_id: str) -> None:
    """Delete the events of a run except the newest materializations and check results."""
    is_superfluous = sa.or_(
        _events.dagster_event_type.is_(None),
        _events.dagster_event_type != _MATERIALIZATION,
        _is_replaced(_newer.partition == _events.partition),
    )
    _delete_events(connection, _events.run_id == run_id, is_superfluous)
    later = AssetCheckExecutionsTable.alias().c
    is_repeated = sa.exists().where(
        later.asset_key == _check_results.asset_key,
        later.check_name == _check_results.check_name,
        later.id > _check_results.id,
    )
    connection.execute(
        sa.delete(AssetCheckExecutionsTable).where(_check_results.run_id == run_id, is_repeated)
    )


def _delete_materializations(
    instance: dg.DagsterInstance, *conditions: sa.ColumnElement[bool]
) -> None:
    log = instance.event_log_storage
    if isinstance(log, SqlEventLogStorage):
        with log.index_connection() as connection:
            is_materialization = _events.dagster_event_type == _MATERIALIZATION
            _delete_events(connection, is_materialization, *conditions)


def _is_replaced(is_of_same_day: sa.ColumnElement[bool]) -> sa.Exists:
    """Whether a newer materialization of the asset meets a condition on its partition."""
    return sa.exists().where(
        _newer.asset_key == _events.asset_key,
        _newer.dagster_event_type == _MATERIALIZATION,
        _newer.id > _events.id,
        is_of_same_day,
    )


def _delete_events(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> None:
    """Delete the events that meet all conditions, and first their tags."""
    ids = sa.select(_events.id).where(*conditions)
    connection.execute(
        sa.delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(ids))
    )
    connection.execute(sa.delete(SqlEventLogStorageTable).where(*conditions))
