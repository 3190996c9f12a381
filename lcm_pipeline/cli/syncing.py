"""Runs a sync through Dagster in this process, with bars."""

from typing import TYPE_CHECKING

from lcm_pipeline.cli.opening import migrated_warehouse
from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.launch import ChecksFailed, materialize_window
from lcm_pipeline.settings import Settings

if TYPE_CHECKING:
    from lcm_pipeline.sync.reports import SyncReport

__all__ = ["ChecksFailed", "sync_window"]


def sync_window(settings: Settings, window: Window) -> "list[SyncReport]":
    """Materialize the window; answers one report per feed."""
    with migrated_warehouse(settings) as warehouse, ProgressBar() as progress:
        return materialize_window(settings, warehouse, window, progress)
