"""An outage of the service while a run reads: the daily sync waits, any other run fails."""

from contextlib import closing
from functools import partial
from typing import Any

import dagster as dg
import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.orchestration import code_location, outages
from lcm_pipeline.orchestration.assets.feeds import feed_assets
from lcm_pipeline.orchestration.partitions import tags_for
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.orchestration.schedules import UNATTENDED
from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.orchestration.storage.run_logs import failure_text
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.oracle import assert_exact
from tests.syncing import MARCH

OUTAGE = (FaultRule(kind="unavailable_html"),)
OPERATIONS_ONLY = (FaultRule(kind="unavailable_html", endpoint="OperationHistory"),)


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "_MINUTES_BETWEEN_ATTEMPTS", 0)


def run(settings: Settings, warehouse: Warehouse, tags: dict[str, str]) -> dg.DagsterRun:
    """Run the sync of March, as the daemon does; returns the run, also when it failed."""
    open_api = partial(LoyaltyApi.from_settings, policy=RetryPolicy(first_wait=0.0))
    with (
        closing(SyncResource(SyncEngine(settings, warehouse, open_api=open_api))) as session,
        dagster_instance(settings) as instance,
    ):
        job = code_location.build_definitions(session).resolve_job_def("sync_days")
        result = job.execute_in_process(
            instance=instance, tags=tags_for(MARCH) | tags, raise_on_error=False
        )
        return result.dagster_run


def failure(settings: Settings, run_id: str) -> str:
    """The errors of the steps that failed."""
    with dagster_instance(settings) as instance:
        logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        return "; ".join(failure_text(log.get_dagster_event()) or "" for log in logs)


def attempts(settings: Settings, run_id: str) -> dict[str, int]:
    """The attempts of the steps that were repeated."""
    with dagster_instance(settings) as instance:
        stats = instance.get_run_step_stats(run_id)
    return {step.step_key: len(step.attempts_list) for step in stats if len(step.attempts_list) > 1}


@pytest.mark.parametrize(
    ("faults", "readers", "repeated"),
    [
        (OUTAGE, 1, {"clients"}),
        pytest.param(OPERATIONS_ONLY, 1, {"operations"}, marks=pytest.mark.slow),
        pytest.param(OPERATIONS_ONLY, 2, {"operations.operations_read_1"}, marks=pytest.mark.slow),
    ],
    ids=["all endpoints", "one endpoint", "two readers"],
)
def test_the_daily_sync_waits_until_the_service_responds_again(
    faults: tuple[FaultRule, ...],
    readers: int,
    repeated: set[str],
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = programme(clients=12)
    source.service.faults.set(faults)
    messages: list[str] = []

    def end_the_outage(message: str, *arguments: Any) -> None:
        messages.append(message % arguments)
        source.service.faults.set(())

    monkeypatch.setattr(outages.logger, "warning", end_the_outage)
    settings = make_settings(source, warehouse)
    monkeypatch.setattr(code_location, "FEED_ASSETS", feed_assets(readers))
    ended = run(settings, warehouse, UNATTENDED)
    assert ended.status is dg.DagsterRunStatus.SUCCESS
    assert set(attempts(settings, ended.run_id)) == repeated
    assert "gives no usable response" in messages[0]
    assert "attempt 2 of 19" in messages[0]
    assert_exact(source, warehouse, last=MARCH.last)
    with warehouse.connect() as session:
        commands = session.execute("select feeds, status from sync.commands").fetchall()
    assert commands == [([feed.name for feed in FEEDS], "finished")]


@pytest.mark.parametrize(
    "tags",
    [{}, UNATTENDED | {"dagster/parent_run_id": "one that has waited"}],
    ids=["run", "retry"],
)
def test_a_run_that_someone_launched_and_a_retry_fail_at_once(
    tags: dict[str, str],
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
) -> None:
    source = programme(clients=3)
    source.service.faults.set(OPERATIONS_ONLY)
    settings = make_settings(source, warehouse)
    failed = run(settings, warehouse, tags)
    assert failed.status is dg.DagsterRunStatus.FAILURE
    assert "HTTP 503" in failure(settings, failed.run_id)
    assert attempts(settings, failed.run_id) == {}


@pytest.mark.slow
def test_the_daily_sync_gives_up_when_its_day_should_be_complete(
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "_MAX_WAITS", 2)
    source = programme(clients=3)
    source.service.faults.set(OUTAGE)
    settings = make_settings(source, warehouse)
    failed = run(settings, warehouse, UNATTENDED)
    assert failed.status is dg.DagsterRunStatus.FAILURE
    assert "HTTP 503" in failure(settings, failed.run_id)
    assert attempts(settings, failed.run_id) == {"clients": 3}


def test_an_error_that_someone_has_to_correct_is_not_waited_for(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=3)
    source.service.faults.set((FaultRule(kind="forbidden"),))
    settings = make_settings(source, warehouse)
    failed = run(settings, warehouse, UNATTENDED)
    assert "HTTP 403" in failure(settings, failed.run_id)
    assert attempts(settings, failed.run_id) == {}
