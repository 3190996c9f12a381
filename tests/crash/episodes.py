"""One episode: strike a command, rerun it until it is done, compare the result with a clean run."""

import time
from dataclasses import dataclass, field
from typing import Any

from lcm_pipeline.feeds import CLIENT_FEEDS
from tests.crash.commit_points import ANYWHERE
from tests.crash.contents import compare, contents, overlapping_versions
from tests.crash.repeats import RepeatCounter, is_command_over, requests_since, unfinished_feeds
from tests.crash.scenes import Scene, outcome_of, start_victim, watched_tables
from tests.crash.tallies import Table
from tests.crash.victim import Blow
from tests.crash.watching import watching
from tests.crash.weapons import CRASHING, INTERRUPT
from tests.syncing import FEEDS

_MAX_RERUNS = 6
_LEFT_OVER = """
select format('%s is left over', tablename) from pg_tables where schemaname = 'staging'
union all
select format('run %s of %s is left %s', run_id, feed, status) from sync.runs
where status <> 'published'
"""


@dataclass
class Episode:
    """A database, the planned strikes, and the results."""

    scene: Scene
    beginning: str
    blows: list[Blow]
    struck: list[Blow] = field(default_factory=list)
    again: list[tuple[str, tuple[int, int]]] = field(default_factory=list)
    reruns: int = 0
    slowest: float = 0.0
    lost: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    half: int = 0
    problems: list[str] = field(default_factory=list)

    def play(self) -> None:
        """Strike and rerun under constant watch; then compare."""
        ending = self.scene.endings[self.beginning]
        tables = {feed: watched_tables(feed) for feed in FEEDS}
        with self.scene.clone(self.beginning) as database:
            warehouse = self.scene.warehouse(database)
            with watching(warehouse, tables, pause=0.02) as watcher:
                self._run_until_done(database)
            self.lost, self.surplus = compare(ending.contents, contents(warehouse))
            self.half = sum(bool(watcher.seen[f] - {*ending.digests[f]}) for f in FEEDS)
            self.half += watcher.torn
            if count := overlapping_versions(warehouse):
                self.problems.append(f"{count} versions in history overlap")
            with warehouse.connect() as session:
                self.problems += [row[0] for row in session.execute(_LEFT_OVER).fetchall()]

    def count_in(self, table: Table, name: str) -> None:
        """Add this episode to a table, under the points of its strikes."""
        for blow in self.struck:
            table.line(blow.point).strikes += 1
        for point, (again, after_crash) in self.again:
            line = table.line(point)
            line.again = max(line.again, again)
            line.again_after_crash = max(line.again_after_crash, after_crash)
        line = table.line(self.struck[-1].point if self.struck else ANYWHERE)
        line.reruns += self.reruns
        line.lost += len(self.lost)
        line.doubled += len(self.surplus)
        line.half += self.half
        if self.lost or self.surplus or self.half or self.problems:
            rows = [*self.problems, *self.lost[:2], *self.surplus[:2]]
            table.wrong.append(
                f"{name}, {self.blows}: {len(self.lost)} lost, {len(self.surplus)} surplus,"
                f" {self.half} half, {rows}"
            )

    def _run_until_done(self, database: str) -> None:
        repeats = RepeatCounter(self.scene.endings[self.beginning].requests)
        left = list(self.blows)
        requests_since(self.scene.simulator)
        for _ in range(len(left) + _MAX_RERUNS):
            blow = left.pop(0) if left else None
            began = time.monotonic()
            messages = self._attempt(database, blow)
            self.slowest = max(self.slowest, time.monotonic() - began)
            if blow and any(kind in ("struck", "killed") for kind, _ in messages):
                self.struck.append(blow)
            self.scene.await_server()
            unfinished = unfinished_feeds(self.scene.warehouse(database))
            requests = requests_since(self.scene.simulator)
            crashed = any(one.weapon in CRASHING for one in self.struck[-1:])
            is_over = is_command_over(self.scene.warehouse(database))
            self._judge(
                repeats.add(requests, unfinished=unfinished, is_over=is_over, after_crash=crashed)
            )
            kind, what = messages[-1]
            if blow and blow.weapon == INTERRUPT and messages[0][0] == "struck" and kind == "done":
                self.problems.append(f"continued after an interrupt: {blow}")
            if kind == "done" and not left:
                return
            if kind == "stuck" or (kind == "failed" and blow is None):
                self.problems.append(f"{kind}: {what}")
            self.reruns += 1
        self.problems.append("not done after all reruns")

    def _attempt(self, database: str, blow: Blow | None) -> list[tuple[str, Any]]:
        process, pipe = start_victim(self.scene.order(database, FEEDS, blow))
        if blow and blow.point == ANYWHERE:
            process.join(blow.nth / 1000)
            process.kill()
        return outcome_of(process, pipe)

    def _judge(self, again: tuple[int, int]) -> None:
        """Count readings requested again for the last strike: at most those that were in flight."""
        point = self.struck[-1].point if self.struck else ANYWHERE
        self.again.append((point, again))
        # The check of the largest page reads one more client of each feed, and does not store it.
        most = self.scene.settings["concurrency"] + len(CLIENT_FEEDS)
        if again[0] > most:
            self.problems.append(f"{again[0]} readings requested again, {most} were in flight")
