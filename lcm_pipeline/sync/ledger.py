"""The ledger of one run, as one of its readers uses it: claim tasks, record their outcomes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from lcm_pipeline.feeds import Feed
from lcm_pipeline.model.tasks import Outcome, Task
from lcm_pipeline.sync.progress import Progress
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest import tasks
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.sessions import ReconnectingSession

ResultT = TypeVar("ResultT")
ParamsT = ParamSpec("ParamsT")


@dataclass
class RunLedger:
    """The tasks of a run, and this process's session that is a member of the run.

    rows, tasks_read: what this process has recorded.
    """

    feed: Feed
    run: Run
    reconnecting: ReconnectingSession
    progress: Progress
    rows: int = field(default=0, init=False)
    tasks_read: int = field(default=0, init=False)

    async def in_session(self, work: Callable[[Session], ResultT]) -> ResultT:
        """Run some work in the session of the run, in a thread, so that reading goes on."""
        return await run_in_thread(
            partial(self.reconnecting.run, work), cancel_session=self.reconnecting
        )

    async def call(
        self,
        function: Callable[Concatenate[Session, Run, ParamsT], ResultT],
        *args: ParamsT.args,
        **named: ParamsT.kwargs,
    ) -> ResultT:
        """Call a function with the session and the run, and these arguments, as `in_session`."""
        return await self.in_session(lambda session: function(session, self.run, *args, **named))

    def chunks(self, most: int) -> Iterator[Sequence[Task]]:
        """Claim the tasks that no other reader has: in order, then those released since."""
        after: Task | None = None
        while True:
            chunk = self.claim(most, after=after)
            if chunk:
                after = chunk[-1]
                yield chunk
            elif after is None:
                return
            else:
                after = None

    def claim(self, most: int, *, after: Task | None = None) -> Sequence[Task]:
        """Claim up to `most` tasks that follow the one given, or the first ones."""
        return self.reconnecting.run(
            lambda session: tasks.claim_tasks(session, self.run, after=after, most=most)
        )

    def record(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Store outcomes; returns those whose values the warehouse rejected."""
        tables = self.feed.tables
        unstored = self.reconnecting.run(
            lambda session: tasks.record_outcomes(session, self.run, tables, outcomes)
        )
        self.rows += sum(outcome.staged.record_count for outcome in outcomes)
        self.tasks_read += len(outcomes)
        failed = len(unstored) + sum(outcome.status != "done" for outcome in outcomes)
        self.progress.advance(self.feed.name, len(outcomes) - failed)
        if failed:
            self.progress.fail(self.feed.name, failed)
        return unstored
