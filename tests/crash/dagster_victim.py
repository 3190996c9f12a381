"""A victim that syncs through Dagster, for the one point outside the engine: the mark of a day.

A day counts as materialized once Dagster's event log says so. The log writes a batch of days in
several transactions; a strike lands before, between and after them.
"""

from collections.abc import Sequence
from typing import Any

from dagster import DagsterEventType, EventLogEntry

from lcm_pipeline.orchestration.event_log import BatchingEventLog
from lcm_pipeline.orchestration.launch import materialize_window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.progress import LoggedProgress
from lcm_pipeline.warehouse.connection import Warehouse
from tests.crash.commit_points import PARTITION_MARKED
from tests.crash.taps import Listener


def materialize(settings: Settings, warehouse: Warehouse, window: Any, listener: Listener) -> None:
    """Sync a window through Dagster, and report to the listener around each mark."""
    store, tag = BatchingEventLog.store_event_batch, BatchingEventLog.store_asset_event_tags

    def store_and_report(log: BatchingEventLog, events: Sequence[EventLogEntry]) -> None:
        marks = any(_is_mark(event) for event in events)
        if marks:
            listener.reached(PARTITION_MARKED, "", None)
        store(log, events)
        if marks:
            listener.reached(PARTITION_MARKED, "", None)

    def tag_and_report(log: BatchingEventLog, events: Sequence[EventLogEntry], ids: Any) -> None:
        if any(_is_mark(event) for event in events):
            listener.reached(PARTITION_MARKED, "", None)
        tag(log, events, ids)

    BatchingEventLog.store_event_batch = store_and_report
    BatchingEventLog.store_asset_event_tags = tag_and_report
    materialize_window(settings, warehouse, window, LoggedProgress())


def _is_mark(event: EventLogEntry) -> bool:
    return event.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION
