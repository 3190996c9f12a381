"""`lcm plan --clients`: its estimates agree with a measured sync."""

from pathlib import Path

import pytest

from benchmarks.serving import ApiServer, Sight, api_server
from benchmarks.world import World
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.scale import ProgrammeSize, SyncCost, plan_scale
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import run

_WORLD = World(clients=1_500, operations=12, days=20)
_LOOKBACK, _BUYERS = 10, 150
_DISK = """
select sum(pg_total_relation_size(pg_class.oid))::bigint
from pg_class
inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
where relkind = 'r' and nspname in ('core', 'history', 'sync', 'mart', 'refresh')
"""
_ROWS = """
select
    (select count(*) from core.clients) + (select count(*) from core.registrations)
    + (select count(*) from core.cards) + (select count(*) from core.operations)
    + (select count(*) from core.leads) + (select count(*) from core.favourite_stats)
    + (select count(*) from core.favourite_offers) + (select count(*) from core.favourite_goods)
"""


def _measure(
    server: ApiServer, warehouse: Warehouse, tmp_path: Path, first: str
) -> tuple[Sight, int, int]:
    """Sync from a day on; returns the requests, and the rows and bytes of the warehouse."""
    server.forget()
    ended = run(
        tmp_path,
        "sync", "--from", first, "--to", str(_WORLD.last),
        LCM_API_URL=server.url,
        LCM_DATABASE_URL=warehouse.url,
        LCM_START_DATE=str(_WORLD.first),
        LCM_LOOKBACK_DAYS=str(_LOOKBACK),
        LCM_CONCURRENCY="64",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    with warehouse.connect() as session:
        [rows] = session.execute(_ROWS).fetchone() or (0,)
        [disk] = session.execute(_DISK.encode()).fetchone() or (0,)
    return server.seen(), rows, disk


def _assert_near(planned: SyncCost, requests: int, rows: int) -> None:
    assert planned.requests == pytest.approx(requests, rel=0.1)
    assert planned.rows == pytest.approx(rows, rel=0.1)


@pytest.mark.slow
def test_the_plan_of_a_size_is_within_a_tenth_of_a_measured_run(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    programme = ProgrammeSize(
        _WORLD.clients, _WORLD.operations, active_share=_BUYERS / _WORLD.clients, days=_WORLD.days
    )
    plan = plan_scale(programme, 100.0, load_settings(lookback_days=_LOOKBACK))
    with warehouse.connect() as session:
        [empty] = session.execute(_DISK.encode()).fetchone() or (0,)
    with api_server(_WORLD, 0.0) as server:
        first, rows, disk = _measure(server, warehouse, tmp_path, str(_WORLD.first))
        _assert_near(plan.first, first.requests, rows)
        assert plan.first.disk == pytest.approx(disk - empty, rel=0.1)
        server.grow(latest=_BUYERS)
        daily, more, _ = _measure(server, warehouse, tmp_path, str(_WORLD.last))
        _assert_near(plan.daily, daily.requests, more - rows)
    assert plan.first.time.total_seconds() == pytest.approx(first.requests / 95, rel=0.1)


def test_a_plan_counts_in_that_requests_are_spaced_below_the_cap() -> None:
    plan = plan_scale(ProgrammeSize(1_000), 100.0, load_settings())
    assert plan.first.time.total_seconds() == pytest.approx(plan.first.requests / 95)
    assert plan.daily.time.total_seconds() == pytest.approx(plan.daily.requests / 95)


def test_the_size_is_planned_without_an_api_or_a_warehouse(tmp_path: Path) -> None:
    planned = run(tmp_path, "plan", "--clients", "1000000", "--rps", "500")
    assert planned.returncode == 0, planned.stderr
    assert "3,000,372" in planned.stdout
    assert "LCM_READERS=7" in planned.stdout
    assert not (tmp_path / "home").exists()


def test_a_plan_says_what_the_settings_do_not_allow(tmp_path: Path) -> None:
    planned = run(tmp_path, "plan", "--clients", "1000", "--rps", "50000", LCM_MAX_IN_FLIGHT="64")
    assert planned.returncode == 0, planned.stderr
    said = " ".join(planned.stdout.split())
    assert "625 readers" in said
    assert "LCM_READERS is 64 at most" in said
    assert "LCM_MAX_IN_FLIGHT=64 allows only 320 requests a second" in said


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "words",
    [
        ("--clients", "5"),
        ("--rps", "5"),
        ("--clients", "5", "--date", "2026-03-01"),
        ("--date", "2026-03-01", "--operations", "3"),
        ("--date", "2026-03-01", "--latency", "3"),
        ("--clients", "5", "--rps", "inf"),
        ("--clients", "5", "--rps", "1e300"),
        ("--clients", "5", "--rps", "5", "--operations", "1e18"),
        ("--clients", "5", "--rps", "5", "--latency", "inf"),
    ],
)
def test_a_size_needs_a_rate_no_days_and_possible_numbers(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    refused = run(tmp_path, "plan", *words)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
