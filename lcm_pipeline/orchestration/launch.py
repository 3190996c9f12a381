"""Runs Dagster for the command line: a range of days, in this process or through an executor."""

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import dagster as dg

from lcm_pipeline.feeds import FEEDS, feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.assets.marts import MARTS
from lcm_pipeline.orchestration.code_location import build_definitions, sync_days_job
from lcm_pipeline.orchestration.executors import celery_package, require_executor
from lcm_pipeline.orchestration.jobs import sync_days
from lcm_pipeline.orchestration.partitions import tags_for
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.orchestration.run_failures import OldMartsError, raise_failure
from lcm_pipeline.orchestration.run_progress import reporting_progress
from lcm_pipeline.orchestration.storage.instance import (
    dagster_instance,
    instance_home,
    storage_id_of,
)
from lcm_pipeline.orchestration.storage.local_runs import PROCESS_TAG, fail_dead_runs, local_run_id
from lcm_pipeline.orchestration.storage.retention import delete_old_runs, remove_expired
from lcm_pipeline.processes import handling_signals
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.progress import Progress
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.migrations import have_old_marts

logger = logging.getLogger(__name__)

# The command prints to the terminal; Dagster's messages are in the event log.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def materialize_window(
    settings: Settings,
    warehouse: Warehouse,
    window: Window,
    progress: Progress,
    feeds: Sequence[str] | None = None,
) -> list[SyncReport]:
    """Sync days through Dagster: one run, all feeds or some, then the checks and the marts.

    Raises the engine's own error, WindowError, DagsterStorageError, RunFailedError, or, once the
    days are synced, DaysSyncedError. A feed that fails does not prevent the others from being read.
    """
    if feeds is None and have_old_marts(warehouse):
        # Sync the facts, without the marts, and report the marts as an error.
        every = [feed.name for feed in FEEDS]
        raise OldMartsError(materialize_window(settings, warehouse, window, progress, every))
    tags = tags_for(window)
    home = instance_home(settings)
    require_executor(settings)
    engine = SyncEngine(settings, warehouse, progress)
    with dagster_instance(settings) as instance:
        fail_dead_runs(instance, home)
        with local_run_id(instance, home) as run_id:
            if settings.executor != "in_process":
                return run_with_executor(instance, engine, window, process=run_id, feeds=feeds)
            with closing(SyncResource(engine)) as sync:
                run_in_process(instance, sync, tags, run_id=run_id, feeds=feeds)
                return sync.reports


def materialize_marts(settings: Settings, warehouse: Warehouse, progress: Progress) -> None:
    """Refresh the marts in a run of their own, in this process, without reading anything.

    For a sync that ended between its last feed and its marts. Raises RunFailedError, also while
    totals do not agree: the marts that are built on them keep their rows.
    """
    home = instance_home(settings)
    keys = [key for marts in MARTS for key in marts.keys]
    with dagster_instance(settings) as instance:
        fail_dead_runs(instance, home)
        with (
            local_run_id(instance, home) as run_id,
            closing(SyncResource(SyncEngine(settings, warehouse, progress))) as sync,
        ):
            result = _execute_in_process(instance, sync, {}, run_id, keys)
            raise_failure(result, sync.reports, sync.errors)


def run_in_process(
    instance: dg.DagsterInstance,
    sync: SyncResource,
    tags: dict[str, str],
    *,
    run_id: str | None = None,
    feeds: Sequence[str] | None = None,
) -> None:
    """One run of the job sync_days with this resource, then housekeeping; raises its error."""
    result = _execute_in_process(instance, sync, tags, run_id, _selection(feeds))
    _remove_old(instance, sync.engine, result, feeds)
    raise_failure(result, sync.reports, sync.errors, feeds)


def _execute_in_process(
    instance: dg.DagsterInstance,
    sync: SyncResource,
    tags: dict[str, str],
    run_id: str | None,
    selection: Sequence[dg.AssetKey] | None,
) -> dg.ExecuteInProcessResult:
    try:
        with _expected_warnings(), _keeping_sigterm():
            job = build_definitions(sync).resolve_job_def(sync_days.name)
            return job.execute_in_process(
                run_config=_QUIET,
                instance=instance,
                # The command reports a failure by its exit code: the daemon must not retry it too.
                tags={**tags, "dagster/max_retries": "0"},
                asset_selection=selection,
                raise_on_error=False,
                run_id=run_id,
            )
    except dg.DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None


def run_with_executor(
    instance: dg.DagsterInstance,
    engine: SyncEngine,
    window: Window,
    *,
    process: str,
    feeds: Sequence[str] | None = None,
) -> list[SyncReport]:
    """One run of the job sync_days whose steps run in other processes; raises its error.

    process: the id of this command's process on the run, see `local_runs`. The reports come from
    the warehouse.
    """
    if engine.settings.executor == "celery":
        celery = celery_package()
        storage_id = storage_id_of(instance)
        if not celery.require_same_settings(engine.settings, storage_id):
            logger.warning("%s", celery.NO_WORKER)
    began = datetime.now(UTC)
    synced = [feed for feed in FEEDS if feeds is None or feed.name in feeds]
    command_id = engine.begin_command(synced, window)
    try:
        with (
            _expected_warnings(),
            _keeping_sigterm(),
            reporting_progress(engine.warehouse, engine.progress, command_id),
        ):
            result = dg.execute_job(
                dg.reconstructable(sync_days_job),
                instance=instance,
                run_config=_QUIET,
                tags={**tags_for(window), "dagster/max_retries": "0", PROCESS_TAG: process},
                asset_selection=_selection(feeds),
            )
    except dg.DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    _remove_old(instance, engine, result, feeds)
    reports = engine.reports(command_id, window, since=began)
    not_begun: list[dg.DagsterEvent] = []
    if not result.success:
        failed = dg.DagsterEventType.RESOURCE_INIT_FAILURE
        logs = instance.all_logs(result.run_id, of_type=failed)
        not_begun = [entry.get_dagster_event() for entry in logs]
    raise_failure(result, reports, (), feeds, not_begun)
    return reports


def _remove_old(
    instance: dg.DagsterInstance,
    engine: SyncEngine,
    result: dg.ExecuteInProcessResult | dg.JobExecutionResult,
    feeds: Sequence[str] | None,
) -> None:
    """Remove what is old; of the facts only where all adds up, as the marts follow them."""
    delete_old_runs(instance, now=datetime.now(UTC))
    # A run of some feeds has not checked the others.
    if result.success and (feeds is None or len(set(feeds)) == len(FEEDS)):
        remove_expired(instance, engine.settings, engine.warehouse)


def _selection(feeds: Sequence[str] | None) -> list[dg.AssetKey] | None:
    if feeds is None:
        return None
    return [dg.AssetKey(name) for feed in feeds for name in feed_named(feed).assets]


def _keeping_sigterm() -> AbstractContextManager[None]:
    """Let SIGTERM end a run, and restore its handler, which Dagster replaces by that of Ctrl-C.

    In a shell's background job Ctrl-C is ignored, which SIGTERM must not become.
    """
    handlers: dict[signal.Signals, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    if handlers[signal.SIGINT] is signal.SIG_IGN:
        handlers[signal.SIGINT] = _ignore_ctrl_c
    return handling_signals(handlers)


def _ignore_ctrl_c(number: int, _frame: FrameType | None) -> None:
    if number != signal.SIGINT:
        raise KeyboardInterrupt


@contextmanager
def _expected_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # Raised by Dagster when it records the result of a check on Python 3.12 and newer.
        warnings.filterwarnings("ignore", message=r"datetime\.datetime\.utcfromtimestamp")
        yield
