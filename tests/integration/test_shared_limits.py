"""LCM_MAX_RPS and LCM_MAX_IN_FLIGHT apply across all processes, by priority."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.figures import most_within_a_second
from lcm_pipeline.feeds import OPERATIONS, REGISTRATIONS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.shared_limits import Priority, priority_of
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.request_limits import (
    RequestLimitsError,
    Sharer,
    join_slots,
    reserve_requests,
    share_slots,
    shares,
)
from tests.conftest import MakeSettings, Programme
from tests.syncing import MARCH
from tests.waiting import PATIENCE, wait_for

_RPS, _IN_FLIGHT, _SOME = 60, 7, 20
_ROOT = Path(__file__).resolve().parents[2]


def start_reader(
    warehouse: Warehouse, folder: Path, name: str, priority: Priority
) -> "subprocess.Popen[bytes]":
    words = [warehouse.url, priority.name, str(folder / "stop"), str(folder / name)]
    limits = {"LCM_MAX_RPS": str(_RPS), "LCM_MAX_IN_FLIGHT": str(_IN_FLIGHT)}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.limited_reader", *words],
        env={**os.environ, "LCM_CONCURRENCY": "8", **limits},
        cwd=_ROOT,
    )


def sent_by(folder: Path, *names: str) -> list[tuple[float, float]]:
    """Start and end of each request, in order, without the cut last line of a killed process."""
    found = []
    for name in names:
        for line in (folder / name).read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                left, ended = line.split()
                found.append((float(left), float(ended)))
    return sorted(found)


def await_requests(folder: Path, names: Sequence[str], *, since: float) -> None:
    """Wait until each process has sent some requests after `since`."""

    def has_sent(name: str) -> bool:
        if not (folder / name).exists():
            return False
        return sum(left > since for left, _ in sent_by(folder, name)) >= _SOME

    wait_for(lambda: all(map(has_sent, names)))


def most_in_flight(sent: Sequence[tuple[float, float]]) -> int:
    moments = sorted([(left, 1) for left, _ in sent] + [(ended, -1) for _, ended in sent])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def test_four_processes_share_the_limits_even_if_one_is_killed(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    names = ("a", "b", "c", "d")
    readers = [start_reader(warehouse, tmp_path, name, Priority.BACKFILL) for name in names]
    try:
        await_requests(tmp_path, names, since=0.0)
        readers[0].kill()
        await_requests(tmp_path, names[1:], since=time.monotonic())
        (tmp_path / "stop").touch()
        assert [reader.wait(PATIENCE) for reader in readers[1:]] == [0, 0, 0]
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    sent = sent_by(tmp_path, *names)
    assert most_within_a_second([left for left, _ in sent]) <= _RPS
    assert most_in_flight(sent) <= _IN_FLIGHT
    with warehouse.connect(autocommit=True) as session:
        join_slots(session)
        # No process is left, so all slots are free again.
        assert share_slots(session, 7, priority=1, wanted=9, in_flight=0) == 7


def test_slots_of_a_session_that_ends_are_free_at_once(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as one, warehouse.connect(autocommit=True) as two:
        join_slots(one)
        join_slots(two)
        assert share_slots(one, 4, priority=1, wanted=4, in_flight=0) == 4
        # A slot is not taken away while its request is in flight.
        assert share_slots(two, 4, priority=0, wanted=4, in_flight=0) == 0
        assert share_slots(one, 4, priority=1, wanted=4, in_flight=1) == 0
        assert share_slots(two, 4, priority=0, wanted=4, in_flight=0) == 3
        one.close()
        wait_for(lambda: share_slots(two, 4, priority=0, wanted=4, in_flight=3) == 4)


def test_slots_of_a_process_that_is_stopped_are_free_after_a_minute(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as one, warehouse.connect(autocommit=True) as two:
        join_slots(one)
        join_slots(two)
        assert share_slots(one, 4, priority=0, wanted=4, in_flight=0) == 4
        assert share_slots(two, 4, priority=1, wanted=4, in_flight=0) == 0
        two.execute(
            "update sync.request_slots set reported_at = reported_at - interval '61 seconds'"
            " where held > 0"
        )
        assert share_slots(two, 4, priority=1, wanted=4, in_flight=0) == 4
        # It goes on: its requests are long over, and it waits until the other one leaves it some.
        assert share_slots(one, 4, priority=0, wanted=4, in_flight=0) == 0
        assert share_slots(two, 4, priority=1, wanted=4, in_flight=0) == 0
        assert share_slots(one, 4, priority=0, wanted=4, in_flight=0) == 4


@pytest.mark.parametrize(
    ("wanted", "cap", "expected"),
    [
        ([(0, 5), (1, 5), (2, 5)], 7, [5, 2, 0]),
        ([(2, 5), (1, 1), (0, 2)], 7, [4, 1, 2]),
        ([(1, 9), (1, 9), (1, 9)], 9, [3, 3, 3]),
        ([(1, 1), (1, 9), (1, 9)], 9, [1, 4, 4]),
        ([(1, 0)], 3, [0]),
    ],
)
def test_slots_are_divided_by_priority_and_then_evenly(
    wanted: list[tuple[int, int]], cap: int, expected: list[int]
) -> None:
    sharers = [Sharer(priority, number, 0, False) for priority, number in wanted]
    assert shares(sharers, cap, second=0) == expected


def test_a_slot_that_cannot_be_split_rotates() -> None:
    sharers = [Sharer(1, 1, 0, False)] * 3
    assert [shares(sharers, 1, second) for second in range(3)] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_backfill_reserves_nothing_while_daily_requests_wait(
    warehouse: Warehouse,
) -> None:
    def is_allowed(priority: Priority, *, is_more: bool = False) -> bool:
        reserved = reserve_requests(session, 0.5, 1, priority=priority, is_more=is_more)
        return reserved.first_at is not None

    def wait() -> None:
        session.execute("select pg_sleep(greatest(0, extract(epoch from next_at - now()) + 0.2))"
                        " from sync.request_pace")  # fmt: skip

    with warehouse.connect(autocommit=True) as session:
        assert is_allowed(Priority.BACKFILL)
        wait()
        assert is_allowed(Priority.DAILY)
        wait()
        # The daily sync has no more requests waiting.
        assert is_allowed(Priority.BACKFILL)
        wait()
        assert is_allowed(Priority.DAILY, is_more=True)
        assert not is_allowed(Priority.BACKFILL)
        assert not is_allowed(Priority.PUSH)
        assert is_allowed(Priority.DAILY)
        wait()
        assert is_allowed(Priority.BACKFILL, is_more=True)
        assert not is_allowed(Priority.PUSH)


def test_only_a_sync_of_the_newest_day_is_a_daily_sync() -> None:
    settings = load_settings()
    yesterday = datetime.now(UTC).astimezone(settings.zone).date() - timedelta(days=1)
    before = yesterday - timedelta(days=1)
    assert priority_of(Window(yesterday, yesterday), settings) is Priority.DAILY
    assert priority_of(Window(before, before), settings) is Priority.BACKFILL
    assert priority_of(Window(before, yesterday), settings) is Priority.BACKFILL


@pytest.mark.parametrize(
    ("table", "limit"), [("request_slots", "max_in_flight"), ("request_pace", "max_rps")]
)
def test_a_run_without_its_limits_stops_and_fails_no_client(
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    table: str,
    limit: str,
) -> None:
    settings = make_settings(programme(clients=12), warehouse)
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, MARCH)
    limited = settings.model_copy(update={limit: 50})
    with warehouse.connect(autocommit=True) as session:
        # Like a lost connection, but without the retries.
        session.execute(f"alter table sync.{table} rename to hidden")
        with pytest.raises(RequestLimitsError, match="run the same command again"):
            SyncEngine(limited, warehouse).sync(OPERATIONS, MARCH)
        failed = "select count(*) from sync.fetches where status = 'failed'"
        assert session.execute(failed).fetchone() == (0,)
        session.execute(f"alter table sync.hidden rename to {table}")
    assert SyncEngine(limited, warehouse).sync(OPERATIONS, MARCH).is_complete
