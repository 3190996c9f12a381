"""One failure at one point of a feed's sync, and the contents of the warehouse after it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from lcm_pipeline.api.errors import LoyaltyApiError
from lcm_pipeline.feeds import feed_named
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from tests.crash.commit_points import PAGE_REQUESTED
from tests.crash.contents import Contents, compare, contents, overlapping_versions
from tests.crash.scenes import WINDOW, Scene, open_scene
from tests.crash.taps import TappedWarehouse, tapped_api
from tests.crash.weapons import lose_session
from tests.syncing import FEEDS

_MAX_RERUNS = 3
# Seconds: short, as each case waits for it, and longer than other calls take on a slow machine.
_TIME_OUT = 2.0
HTTP_KINDS: dict[str, dict[str, Any]] = {
    "time-out": {"kind": "timeout", "seconds": 60},
    "reset": {"kind": "reset"},
    "disconnect": {"kind": "disconnect"},
    "429": {"kind": "too_many_requests"},
    "429, Retry-After: 1": {"kind": "too_many_requests", "retry_after": 1},
    "429, Retry-After: 0": {"kind": "too_many_requests", "retry_after": 0},
    "500": {"kind": "server_error"},
    "503, HTML": {"kind": "unavailable_html"},
    "truncated JSON": {"kind": "truncated_json"},
    "200, HTML": {"kind": "html_with_200"},
    "200, empty": {"kind": "empty_body"},
    "no ErrorCode": {"kind": "no_error_code"},
    "ErrorCode 10, half the rows": {"kind": "sql_timeout_half_rows"},
    "ErrorCode 10, deadlock": {"kind": "sql_deadlock"},
    "ErrorCode 0, Message, half the rows": {"kind": "message_half_rows"},
    "401": {"kind": "unauthorized"},
    "403": {"kind": "forbidden"},
}
_SQLSTATES = {
    "serialization failure": "40001",
    "deadlock": "40P01",
    "lock not available": "55P03",
    "disk full": "53100",
    "cancelled": "57014",
}
LOST_BEFORE, LOST_AFTER = "connection lost before", "connection lost after"
SQL_KINDS = (*_SQLSTATES, LOST_BEFORE, LOST_AFTER)


class Case(NamedTuple):
    """Fail the n-th call or statement of a feed's sync."""

    feed: str
    kind: str
    n: int


@dataclass
class Verdict:
    """The result of a case."""

    was_met: bool
    reruns: int
    lost: list[str]
    surplus: list[str]
    problems: list[str]

    @property
    def is_wrong(self) -> bool:
        """Whether rows are lost or surplus, or there are other problems."""
        return bool(self.lost or self.surplus or self.problems)


@dataclass
class Saboteur:
    """Counts statements and calls, and makes one statement fail as it would in reality."""

    kind: str | None = None
    n: int = 0
    statements: int = 0
    calls: int = 0
    is_spent: bool = False

    def before(self, text: str, session: psycopg.Connection[Any]) -> None:
        """Count a statement; fail it before it is executed."""
        self.statements += 1
        if self.kind is None or self.statements != self.n:
            return
        self.is_spent = True
        if self.kind == LOST_BEFORE:
            lose_session(session)
        elif self.kind in _SQLSTATES:
            psycopg.Cursor(session).execute(
                "do $$ begin raise exception 'injected' using errcode ="
                f" '{_SQLSTATES[self.kind]}'; end $$"
            )

    def after(self, text: str, session: psycopg.Connection[Any]) -> None:
        """Lose the result of a statement that was executed."""
        if self.kind == LOST_AFTER and self.statements == self.n and not session.closed:
            lose_session(session)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    def reached(self, point: str, feed: str, session: psycopg.Connection[Any] | None) -> None:
        """Count a call."""
        self.calls += point == PAGE_REQUESTED


@dataclass
class FaultScene:
    """For each feed: a database with the earlier feeds synced, and the result of a clean run."""

    scene: Scene
    bases: dict[str, str] = field(default_factory=dict)
    expected: dict[str, Contents] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def play(self, case: Case) -> Verdict:
        """Sync with the failure, rerun while it ends with an error, and compare."""
        saboteur = Saboteur(case.kind if case.kind in SQL_KINDS else None, case.n)
        service = self.scene.simulator.service
        if case.kind in HTTP_KINDS:
            service.faults.set((FaultRule(nth=case.n, **HTTP_KINDS[case.kind]),))
        service.faults.struck.clear()
        problems: list[str] = []
        with self.scene.clone(self.bases[case.feed]) as database:
            reruns = self._sync_until_done(database, case, saboteur, problems)
            warehouse = self.scene.warehouse(database)
            lost, surplus = compare(self.expected[case.feed], contents(warehouse))
            if count := overlapping_versions(warehouse):
                problems.append(f"{count} versions in history overlap")
        was_met = saboteur.is_spent or bool(service.faults.struck)
        service.faults.set(())
        return Verdict(was_met, reruns, lost, surplus, problems)

    def sync(self, database: str, feed: str, saboteur: Saboteur, timeout: float = 20.0) -> Any:
        """Sync one feed in this process."""
        warehouse = TappedWarehouse(self.scene.warehouse(database).url, saboteur)
        settings = load_settings(
            api_url=self.scene.simulator.url,
            database_url=warehouse.url,
            home=self.scene.home,
            timeout=timeout,
            delete_fuse=1.0,
            lookback_days=60,
            **self.scene.settings,
        )
        engine = SyncEngine(settings, warehouse, open_api=tapped_api(saboteur))
        return engine.sync(feed_named(feed), WINDOW)

    def _sync_until_done(
        self, database: str, case: Case, saboteur: Saboteur, problems: list[str]
    ) -> int:
        for reruns in range(_MAX_RERUNS + 1):
            try:
                report = self.sync(
                    database, case.feed, saboteur, _TIME_OUT if case.kind == "time-out" else 20.0
                )
            except (SyncError, psycopg.Error) as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            except LoyaltyApiError as error:
                reason = f"not reported as a failure of the sync: {error}"
                problems.append(reason)
                continue
            if not report.pending:
                return reruns
            reason = f"{report.pending} are pending"
        problems.append(f"not done after {_MAX_RERUNS} reruns: {reason}")
        return _MAX_RERUNS


@contextmanager
def open_fault_scene(url: str, home: Path, *, seed: int, is_first: bool) -> Iterator[FaultScene]:
    """Open a scene with a database for each feed to start from."""
    with open_scene(url, home, seed=seed, clients=5) as scene:
        faults = FaultScene(scene)
        base = scene.beginnings[0 if is_first else 1]
        with _chain_of_bases(faults, base, FEEDS):
            yield faults


@contextmanager
def _chain_of_bases(faults: FaultScene, base: str, feeds: Sequence[str]) -> Iterator[None]:
    """Clone the clones, each with one more feed synced."""
    if not feeds:
        yield
        return
    feed, *rest = feeds
    faults.bases[feed] = base
    with faults.scene.clone(base) as database:
        counting = Saboteur()
        faults.sync(database, feed, counting)
        faults.sizes[feed] = (counting.calls, counting.statements)
        faults.expected[feed] = contents(faults.scene.warehouse(database))
        with _chain_of_bases(faults, database, rest):
            yield
