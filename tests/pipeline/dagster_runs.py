"""Helpers for the tests of Dagster: a scripted engine, and stored materializations."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date

import dagster as dg

from lcm_pipeline.feeds import FEEDS, Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.launch import run_in_process
from lcm_pipeline.orchestration.partitions import tags_for
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.warehouse.connection import Warehouse

TABLES = tuple(name for feed in FEEDS for name in feed.assets)


def days(first: str, last: str | None = None) -> Window:
    return Window(date.fromisoformat(first), date.fromisoformat(last or first))


def materialized(instance: dg.DagsterInstance, table: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(table)))


@dataclass
class ScriptedEngine(SyncEngine):
    """Returns reports without reading anything; calls `script` with each feed first.

    begun: receives the feeds of each command and of each concurrent sync, in the order of calls.
    """

    script: Callable[[str], None] = lambda feed: None
    begun: list[list[str]] = field(default_factory=list)

    def begin_command(self, feeds: Sequence[Feed], window: Window) -> int:
        self.begun.append([feed.name for feed in feeds])
        return 1

    def sync(self, feed: Feed, window: Window, *, command_id: int | None = None) -> SyncReport:
        return self._report(feed.name, window)

    def begin_concurrent(  # type: ignore[override]
        self, feeds: Sequence[Feed], window: Window, *, command_id: int | None = None
    ) -> "ScriptedReading":
        self.begun.append([feed.name for feed in feeds])
        return ScriptedReading(lambda feed: self._report(feed.name, window))

    def _report(self, feed: str, window: Window) -> SyncReport:
        self.script(feed)
        return SyncReport(feed, window, 10, 0, 20, 15, 1, 0, 12, 2, 0.5, False)


@dataclass(frozen=True)
class ScriptedReading:
    """Replaces a `ConcurrentSync` that one step waits for, and no step after it."""

    report: Callable[[Feed], SyncReport]

    def has_report_for(self, feed: Feed, window: Window) -> bool:
        return False

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class ScriptedRuns:
    """Runs `sync_days` without reading anything; its checks run against an empty warehouse."""

    settings: Settings
    warehouse: Warehouse

    def run(
        self,
        instance: dg.DagsterInstance,
        window: Window,
        script: Callable[[str], None] = lambda feed: None,
        *,
        feeds: Sequence[str] | None = None,
        begun: list[list[str]] | None = None,
    ) -> list[SyncReport]:
        calls = [] if begun is None else begun
        engine = ScriptedEngine(self.settings, self.warehouse, script=script, begun=calls)
        with closing(SyncResource(engine)) as session:
            run_in_process(instance, session, tags_for(window), feeds=feeds)
        return session.reports


class Silence:
    """A progress that shows nothing."""

    def start(self, feed: str, total: int, done: int) -> None:
        pass

    def advance(self, feed: str, count: int) -> None:
        pass

    def fail(self, feed: str, count: int) -> None:
        pass

    def finish(self, feed: str) -> None:
        pass
