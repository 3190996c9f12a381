"""The resource of a run: the sync engine with an open warehouse, and which feeds the run syncs.

Nothing is read or opened before a run begins, so the definitions load on a machine without
settings. It is not a ConfigurableResource, because there is nothing to configure in Dagster: every
setting comes from LCM_*, and none of them reaches the event log.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import dagster as dg

from lcm_pipeline.feeds import FEEDS, Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.concurrency import ConcurrentSync
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.report import ReaderReport, SyncReport
from lcm_pipeline.warehouse.access.dictionary import DescribedColumn, describe
from lcm_pipeline.warehouse.access.rights import require_new_months
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.preparation import programme_warehouse
from lcm_pipeline.warehouse.sessions import ReconnectingSession, run_again_if_lost

# Steps in this pool wait for each other, see dagster.yaml.
POOL = "loyalty_api"
# On a run: its own id, its days and the command that its steps belong to, as "RUN:DAYS:COMMAND".
_COMMAND_TAG = "lcm/command"
_IN_ONE_PROCESS = ("in_process", "execute_in_process_executor")


@dataclass(frozen=True)
class RunSelection:
    """The feeds of a Dagster run, in reading order, and whether one process syncs them all.

    Then that process reads the client feeds concurrently, see `sync.concurrency`. A step that has a
    process of its own must not begin the work of another step, so it reads its feed alone.
    """

    feeds: tuple[Feed, ...]
    is_in_one_process: bool
    run: dg.DagsterRun
    instance: dg.DagsterInstance
    log: dg.DagsterLogManager

    @classmethod
    def from_context(cls, context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Self:
        """What the run of a step selects; the same for each of its steps."""
        nodes = context.job_def.graph.node_dict
        selected = context.run.asset_selection
        feeds = [
            feed
            for feed in FEEDS
            if feed.step in nodes
            # Of a run of the whole job, execute_in_process stores an empty selection, not none.
            and (not selected or any(dg.AssetKey(name) in selected for name in feed.assets))
        ]
        is_in_one_process = context.job_def.executor_def.name in _IN_ONE_PROCESS
        return cls(tuple(feeds), is_in_one_process, context.run, context.instance, context.log)

    @property
    def concurrent(self) -> list[Feed]:
        """The client feeds that this process reads concurrently."""
        return [feed for feed in self.feeds if not feed.is_by_day] if self.is_in_one_process else []

    def begun_command(self, window: Window) -> int | None:
        """The command of an earlier step of this run, or of the failed run that it retries.

        It may be finished: the last feed is published, and the step runs again, or a mart failed.
        """
        run = self.instance.get_run_by_id(self.run.run_id) or self.run
        of_run, days, command_id = run.tags.get(_COMMAND_TAG, "::").split(":")
        if days != str(window):
            return None
        if of_run == run.run_id:
            return int(command_id)
        # A retry has the tags of the run that it retries; so has a repetition of a successful run.
        parent = self.instance.get_run_by_id(of_run)
        is_retried = parent is not None and parent.status is dg.DagsterRunStatus.FAILURE
        return int(command_id) if is_retried else None

    def record_command(self, window: Window, command_id: int) -> None:
        """Record the command on the run, for its later steps and a retry."""
        tags = {_COMMAND_TAG: f"{self.run.run_id}:{window}:{command_id}"}
        run = self.instance.get_run_by_id(self.run.run_id)
        if run is not None and not tags.items() <= run.tags.items():
            self.instance.add_run_tags(run.run_id, tags)


@dataclass(frozen=True)
class SyncResource:
    """The engine during one run; collects reports and errors for the caller of the run.

    The errors are collected because Dagster returns only their text.
    """

    engine: SyncEngine
    reports: list[SyncReport] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    _begun: list[ConcurrentSync] = field(default_factory=list, init=False, repr=False)
    _cleanup: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    _commands: dict[Window, int] = field(default_factory=dict, init=False, repr=False)

    @property
    def warehouse(self) -> Warehouse:
        """The open warehouse."""
        return self.engine.warehouse

    @cached_property
    def described(self) -> list[DescribedColumn]:
        """The columns of the database with their comments, queried once in a run."""
        return describe(self.warehouse)

    @cached_property
    def session(self) -> ReconnectingSession:
        """The session in which the steps of this process check what is stored and refresh marts.

        A session of its own costs a step more than most of its queries.
        """
        return self._cleanup.enter_context(ReconnectingSession(self.warehouse, "lcm steps"))

    def sync_feed(self, feed: Feed, window: Window, selection: RunSelection) -> SyncReport:
        """Sync a feed. The roster also begins the client feeds that this process will sync.

        The steps of those feeds then only wait for their reports, in any order.
        """
        command = self.command_id(selection, window)
        if not feed.is_by_day:
            return self._collect(lambda: self._await_report(feed, window, selection, command))
        report = self._collect(lambda: self.engine.sync(feed, window, command_id=command))
        if selection.concurrent:
            self._begin(selection.concurrent, window, selection, command)
        return report

    def start_feed(self, feed: Feed, window: Window, selection: RunSelection) -> None:
        """The first of three steps of a feed with several readers."""
        with self._collecting_errors():
            self.engine.start(feed, window, command_id=self.command_id(selection, window))

    def read_feed(self, feed: Feed, window: Window) -> ReaderReport:
        """The second step: one of several readers."""
        with self._collecting_errors():
            return self.engine.read(feed, window)

    def publish_feed(self, feed: Feed, window: Window, selection: RunSelection) -> SyncReport:
        """The third step: publish what the readers have proven."""
        command = self.command_id(selection, window)
        return self._collect(lambda: self.engine.publish(feed, window, command_id=command))

    def command_id(self, selection: RunSelection, window: Window) -> int:
        """The command that the run belongs to: that of its earlier steps or of the run it retries.

        Otherwise an unfinished one of the same feeds and window, or a new one.
        """
        if window not in self._commands:
            command_id = selection.begun_command(window)
            if command_id is None:
                command_id = self.engine.begin_command(selection.feeds, window)
            selection.record_command(window, command_id)
            self._commands[window] = command_id
        return self._commands[window]

    def close(self) -> None:
        """Cancel the feeds that no step has waited for, and close the session of the steps."""
        self._cleanup.close()

    def _await_report(
        self, feed: Feed, window: Window, selection: RunSelection, command_id: int
    ) -> SyncReport:
        """Wait until a client feed is published; begins those that nothing has begun."""
        for syncing in self._begun:
            if syncing.has_report_for(feed, window):
                return syncing.report(feed)
        # Nothing has begun the feed: the run has no roster, or each step has a process of its own.
        # Or its step runs again, while the first attempt of others goes on.
        others = [
            other
            for other in selection.concurrent
            if other is not feed
            and not any(syncing.has_report_for(other, window) for syncing in self._begun)
        ]
        return self._begin([feed, *others], window, selection, command_id).report(feed)

    def _begin(
        self, feeds: Sequence[Feed], window: Window, selection: RunSelection, command_id: int
    ) -> ConcurrentSync:
        # Dagster captures what is logged only while the code of a step runs, and these feeds are
        # read between steps too. So a copy captures it: the end of a step removes the step's own
        # handler. The copy has no step, as it serves several. No line is stored twice.
        log = selection.log.with_tags(step_key=None)  # type: ignore[arg-type]
        log.begin_python_log_capture()
        self._cleanup.callback(log.end_python_log_capture)
        syncing = self.engine.begin_concurrent(feeds, window, command_id=command_id)
        self._cleanup.callback(syncing.close)
        self._begun.append(syncing)
        return syncing

    def _collect(self, sync: Callable[[], SyncReport]) -> SyncReport:
        with self._collecting_errors():
            report = sync()
        self.reports.append(report)
        return report

    @contextmanager
    def _collecting_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.errors.append(error)
            raise


@dg.resource(description="The sync engine with an open, migrated warehouse, for one run.")
def sync_resource(_context: dg.InitResourceContext) -> Iterator[SyncResource]:
    """Open the warehouse of the settings for the length of a run."""
    settings = load_settings()
    settings.required_api_url()
    with programme_warehouse(settings) as warehouse:
        run_again_if_lost(lambda: require_new_months(warehouse))
        with closing(SyncResource(SyncEngine(settings, warehouse))) as sync:
            yield sync
