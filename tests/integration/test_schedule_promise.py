"""The promise of the schedule holds for random histories and for a sample of the benchmark."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest

from benchmarks.staleness_population import invent_population
from benchmarks.staleness_year import simulate_year
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest import tasks
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.schedule import Schedule

FIRST = date(2026, 1, 1)
CLIENTS = range(1, 121)
AUDIT_SHARE = 1 / 5


@dataclass
class Readings:
    """Per client, the last day of any reading and of a full reading."""

    any: dict[int, int] = field(default_factory=lambda: dict.fromkeys(CLIENTS, -1))
    whole: dict[int, int] = field(default_factory=lambda: dict.fromkeys(CLIENTS, -1))

    def record(self, enlisted: Mapping[int, bool], day: int) -> None:
        self.any.update(dict.fromkeys(enlisted, day))
        self.whole.update({client: day for client, is_whole in enlisted.items() if is_whole})


@pytest.mark.parametrize(("promise", "seed"), [(2, 1), (3, 2), (7, 3), (14, 4), (30, 5)])
def test_no_client_waits_longer_than_promised_and_no_audit_is_skipped(
    warehouse: Warehouse, promise: int, seed: int
) -> None:
    chance, readings = random.Random(seed), Readings()
    schedule = Schedule(AUDIT_SHARE, promise, quiet_days=chance.choice([1, 2, 4]))
    requested = 0
    with warehouse.connect(autocommit=True) as session:
        _register(session)
        for day in range(80):
            enlisted = _run(session, schedule, day)
            readings.record(enlisted, day)
            requested += len(enlisted)
            _publish(session, enlisted, day, changed=chance.sample(CLIENTS, chance.randint(0, 6)))
            assert day - min(readings.any.values()) < promise
            assert day - min(readings.whole.values()) < 1 / AUDIT_SHARE + promise - 1
    assert requested < 0.8 * 80 * len(CLIENTS)


def test_days_without_a_run_defer_no_client_beyond_the_promise(warehouse: Warehouse) -> None:
    chance, readings, promise = random.Random(6), Readings(), 5
    schedule = Schedule(AUDIT_SHARE, promise, quiet_days=1)
    previous = -1
    with warehouse.connect(autocommit=True) as session:
        _register(session)
        for day in sorted(chance.sample(range(120), 50)):
            enlisted = _run(session, schedule, day)
            readings.record(enlisted, day)
            _publish(session, enlisted, day, changed=chance.sample(CLIENTS, 2))
            assert day - min(readings.any.values()) < promise
            assert day - previous < promise or len(enlisted) == len(CLIENTS)
            previous = day


@pytest.mark.parametrize("promise", [0, 1])
def test_without_a_promise_every_client_is_due_in_each_run(
    warehouse: Warehouse, promise: int
) -> None:
    schedule = Schedule(AUDIT_SHARE, promise, quiet_days=1)
    with warehouse.connect(autocommit=True) as session:
        _register(session)
        for day in (0, 1, 2, 2, 1, 40):
            enlisted = _run(session, schedule, day)
            assert enlisted.keys() == set(CLIENTS)
            _publish(session, enlisted, day, changed=[])


@pytest.mark.slow
def test_a_sample_of_the_benchmark_keeps_its_promise_and_saves(warehouse: Warehouse) -> None:
    population = invent_population(150, seed=2)
    year = simulate_year(warehouse, population, Schedule(AUDIT_SHARE, 7), days=75)
    assert max(delays.max() for delays in year.delays.values()) <= 7
    assert year.oldest_unseen <= 7
    assert 0 < max(year.lags) < 7
    requested = sum(sum(counts[40:]) for counts in year.read.values())
    assert requested < 0.6 * sum(sum(counts[40:]) for counts in year.roster.values())


def _register(session: Session) -> None:
    session.cursor().executemany(
        "insert into core.clients (client_id, registration_date, sync_run_id, first_seen_at,"
        " synced_at) values (%s, %s, 0, now(), now())",
        [(client, FIRST - timedelta(days=1)) for client in CLIENTS],
    )


def _run(session: Session, schedule: Schedule, day: int) -> dict[int, bool]:
    """Enlist a run of one day; returns the clients to read, and whether in full."""
    window = Window(_date(day), _date(day))
    row = session.execute(
        "insert into sync.runs (feed, window_from, window_to, status)"
        " values ('leads', %s, %s, 'published') returning run_id",
        (window.first, window.last),
    ).fetchone()
    assert row is not None
    run = Run(row[0], "leads", window, is_resumed=False)
    tasks.add_client_tasks(session, run, schedule)
    enlisted = dict(
        session.execute(
            "select client_id, is_whole from sync.fetches where run_id = %s", (run.run_id,)
        ).fetchall()
    )
    deferred = session.execute("select deferred from sync.runs where run_id = %s", (run.run_id,))
    assert deferred.fetchone() == (len(CLIENTS) - len(enlisted),)
    return enlisted


def _publish(
    session: Session, enlisted: Mapping[int, bool], day: int, *, changed: list[int]
) -> None:
    """Store what a publish stores of the clients that were read, some of which changed."""
    found = {client: client in changed for client in enlisted}
    session.execute(
        "insert into sync.client_state as state (feed, client_id, source_total, fingerprint,"
        " read_at, proven_date, changed_date)"
        " select 'leads', unnest(%(clients)s::bigint[]), 1, '\\x00', now(), %(day)s, %(day)s"
        " on conflict (feed, client_id) do update set"
        " proven_date = greatest(state.proven_date, excluded.proven_date), changed_date ="
        " case when excluded.client_id = any(%(changed)s)"
        " then excluded.changed_date else state.changed_date end",
        {
            "clients": list(found),
            "day": _date(day),
            "changed": [client for client, is_changed in found.items() if is_changed],
        },
    )
    session.execute(
        "insert into sync.window_days (feed, day, run_id, published_at)"
        " values ('leads', %s, 0, now()) on conflict do nothing",
        (_date(day),),
    )


def _date(day: int) -> date:
    return FIRST + timedelta(days=day)
