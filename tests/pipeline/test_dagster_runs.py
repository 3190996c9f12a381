"""One run of a range of days: what it syncs, what it leaves in Dagster, and how it fails."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.orchestration.checks.results import CHECKS, failed_checks
from lcm_pipeline.orchestration.code_location import build_definitions
from lcm_pipeline.orchestration.launch import materialize_window, run_in_process
from lcm_pipeline.orchestration.partitions import tags_for
from lcm_pipeline.orchestration.resources import RunSelection, SyncResource
from lcm_pipeline.orchestration.run_failures import (
    BlockingChecksFailedError,
    OtherChecksFailedError,
    RunFailedError,
)
from lcm_pipeline.orchestration.storage.instance import dagster_instance, instance_home
from lcm_pipeline.orchestration.storage.local_runs import (
    PROCESS_TAG,
    fail_dead_runs,
    local_run_id,
)
from lcm_pipeline.orchestration.storage.run_logs import read_run_log
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.sync.run import SyncRun
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.pipeline.dagster_runs import (
    TABLES,
    ScriptedEngine,
    ScriptedRuns,
    Silence,
    days,
    materialized,
)
from tests.waiting import PATIENCE

WEEK = days("2026-03-03", "2026-03-09")
TOKEN = 987123654


@pytest.fixture
def settings(programme: Programme, warehouse: Warehouse, make_settings: MakeSettings) -> Settings:
    return make_settings(programme(clients=25, token=TOKEN), warehouse, token=str(TOKEN))


@pytest.fixture
def scripted(warehouse: Warehouse, tmp_path: Path) -> ScriptedRuns:
    return ScriptedRuns(load_settings(home=tmp_path / "home"), warehouse)


def everything_stored(home: Path) -> str:
    """The contents of all files that Dagster wrote."""
    return "".join(
        path.read_bytes().decode("utf-8", "replace") for path in home.rglob("*") if path.is_file()
    )


def completeness_of(settings: Settings, table: str) -> str:
    """The description of the last completeness check of a table."""
    key = dg.AssetCheckKey(dg.AssetKey(table), "share_complete")
    with dagster_instance(settings) as instance:
        [check] = instance.event_log_storage.get_asset_check_execution_history(
            key, limit=1, status={AssetCheckExecutionRecordStatus.SUCCEEDED}
        )
    assert check.event is not None
    assert check.event.asset_check_evaluation is not None
    return check.event.asset_check_evaluation.description or ""


def test_a_range_is_one_run_and_marks_each_of_its_days(
    settings: Settings, warehouse: Warehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    reports = materialize_window(settings, warehouse, WEEK, Silence())
    assert [report.feed for report in reports] == [feed.name for feed in FEEDS]
    assert all(report.window == WEEK and report.is_complete for report in reports)
    with dagster_instance(settings) as instance:
        [run] = instance.get_runs()
        assert (run.job_name, run.status) == ("sync_days", dg.DagsterRunStatus.SUCCESS)
        for table in TABLES:
            assert materialized(instance, table) == {str(day) for day in WEEK.days()}
    assert capfd.readouterr() == ("", "")


def test_a_run_shows_counts_and_a_preview_but_nothing_personal_and_no_secret(
    settings: Settings, warehouse: Warehouse
) -> None:
    reports = materialize_window(settings, warehouse, WEEK, Silence())
    operations = next(report for report in reports if report.feed == "operations")
    with dagster_instance(settings) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("operations"))
        assert event is not None
        assert event.asset_materialization is not None
        shown = event.asset_materialization.metadata
    assert shown["rows written"].value == operations.rows_written > 0
    assert shown["requests"].value == operations.requests > 0
    assert shown["done"].value == operations.clients > 0
    assert shown["pending"].value == 0
    assert "operation_date" in str(shown["preview"].value)
    # The preview of a day is stored for years, and `lcm forget` does not reach it.
    assert "client_id" not in str(shown["preview"].value)
    with warehouse.connect() as session:
        personal = session.execute(
            "select phone::text from core.clients where phone is not null"
            " union select card_number::text from core.cards"
        ).fetchall()
    stored = everything_stored(instance_home(settings))
    assert len(personal) > 10
    assert not [value for (value,) in personal if value in stored]
    assert str(TOKEN) not in stored


@pytest.mark.sampled(1)
@pytest.mark.parametrize("feeds", [None, ["registrations", "leads"]])
def test_one_process_reads_all_feeds_of_a_run_concurrently_as_one_command(
    scripted: ScriptedRuns, feeds: list[str] | None
) -> None:
    expected = [feed.name for feed in FEEDS] if feeds is None else feeds
    begun: list[list[str]] = []
    with dagster_instance(scripted.settings) as instance:
        scripted.run(instance, WEEK, feeds=feeds, begun=begun)
    assert begun[:2] == [expected, expected[1:]]


@pytest.mark.slow
def test_a_run_that_failed_in_its_last_feed_does_not_read_the_others_again(
    settings: Settings, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = SyncRun.publish

    async def fail_in_the_last(run: SyncRun) -> None:
        if run.feed is FEEDS[-1]:
            raise SyncError("the last feed fails")
        await publish(run)

    with monkeypatch.context() as patched, pytest.raises(SyncError, match="the last feed fails"):
        patched.setattr(SyncRun, "publish", fail_in_the_last)
        materialize_window(settings, warehouse, WEEK, Silence())
    again = materialize_window(settings, warehouse, WEEK, Silence())
    assert [report.is_resumed for report in again] == [True] * len(FEEDS)
    with warehouse.connect() as session:
        runs = session.execute("select feed, count(*) from sync.runs group by feed").fetchall()
        commands = session.execute("select feeds, status from sync.commands").fetchall()
    assert dict(runs) == {feed.name: 1 for feed in FEEDS}
    assert commands == [([feed.name for feed in FEEDS], "finished")]


def count_runs(warehouse: Warehouse) -> int:
    with warehouse.connect() as session:
        row = session.execute("select count(*) from sync.runs").fetchone()
    return int(row[0]) if row else 0


@pytest.mark.slow
def test_a_retry_reads_nothing_again_although_all_feeds_are_published(
    settings: Settings, warehouse: Warehouse
) -> None:
    materialize_window(settings, warehouse, WEEK, Silence())
    with warehouse.connect() as session:
        session.execute(
            "delete from core.leads where lead_id = (select min(lead_id) from core.leads)"
        )
    with pytest.raises(BlockingChecksFailedError):
        materialize_window(settings, warehouse, WEEK, Silence())
    read = count_runs(warehouse)

    def repeat(run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
        """Execute a run again with its tags, as the daemon and Dagster's page do."""
        with closing(SyncResource(SyncEngine(settings, warehouse))) as session:
            build_definitions(session).resolve_job_def("sync_days").execute_in_process(
                instance=instance, tags=run.tags, raise_on_error=False
            )

    with dagster_instance(settings) as instance:
        failed, successful = instance.get_runs()
        for _ in range(2):
            repeat(instance.get_runs()[0], instance)
            assert count_runs(warehouse) == read
        repeat(successful, instance)
        assert count_runs(warehouse) == read + len(FEEDS)
    assert failed.status is dg.DagsterRunStatus.FAILURE


@pytest.mark.slow
def test_the_last_step_of_a_run_may_run_twice(settings: Settings, warehouse: Warehouse) -> None:
    materialize_window(settings, warehouse, WEEK, Silence())
    with dagster_instance(settings) as instance:
        [run] = instance.get_runs()
        # As another worker of Celery does whose predecessor was lost after the publish.
        log = dg.DagsterLogManager.create([])
        plan = RunSelection(FEEDS, is_in_one_process=False, run=run, instance=instance, log=log)
        report = SyncResource(SyncEngine(settings, warehouse)).publish_feed(FEEDS[-1], WEEK, plan)
    assert report.is_resumed
    assert count_runs(warehouse) == len(FEEDS)


def test_what_is_logged_between_steps_while_feeds_are_read_is_in_the_log_of_the_run(
    scripted: ScriptedRuns,
) -> None:
    def speak(feed: str) -> None:
        logger.info("reading %s", feed)

    logger = logging.getLogger("lcm_pipeline.sync")
    engine = ScriptedEngine(scripted.settings, scripted.warehouse, script=speak)
    session = SyncResource(engine)
    with dagster_instance(scripted.settings) as instance:
        run_in_process(instance, session, tags_for(WEEK))
        # No step runs any more; the threads of the session could.
        logger.warning("favourites: a client stays pending")
        session.close()
        logger.warning("said by the command itself")
    lines = [entry.text for entry in read_run_log(scripted.settings, None, logging.INFO).entries]
    assert lines == [
        *(f"reading {feed.name}" for feed in FEEDS),
        "favourites: a client stays pending",
    ]


def test_some_feeds_can_be_synced_alone(settings: Settings, warehouse: Warehouse) -> None:
    reports = materialize_window(settings, warehouse, WEEK, Silence(), feeds=["registrations"])
    assert [report.feed for report in reports] == ["registrations"]
    with dagster_instance(settings) as instance:
        assert len(materialized(instance, "clients")) == 7
        assert not materialized(instance, "operations")


@pytest.mark.slow
def test_the_checks_run_and_a_lost_row_fails_them(settings: Settings, warehouse: Warehouse) -> None:
    materialize_window(settings, warehouse, WEEK, Silence())
    assert re.fullmatch(
        r"2026-03-09 is complete, \d+ clients read", completeness_of(settings, "leads")
    )
    with warehouse.connect() as session:
        session.execute(
            "delete from core.leads where lead_id = (select min(lead_id) from core.leads)"
        )
    with pytest.raises(BlockingChecksFailedError, match="leads: totals differ for 1") as failed:
        materialize_window(settings, warehouse, WEEK, Silence())
    assert len(failed.value.reports) == len(FEEDS)


@pytest.mark.slow
def test_a_failed_check_that_blocks_nothing_leaves_the_run_successful_and_is_reported(
    settings: Settings, warehouse: Warehouse
) -> None:
    materialize_window(settings, warehouse, WEEK, Silence())
    with warehouse.connect() as session:
        session.execute(
            "delete from core.clients where client_id = (select min(client_id) from core.leads)"
        )
    with pytest.raises(
        OtherChecksFailedError, match=r"leads: \d+ rows? of unknown clients"
    ) as failed:
        materialize_window(settings, warehouse, WEEK, Silence())
    assert failed.value.exit_code == 3
    assert len(failed.value.reports) == len(FEEDS)
    with dagster_instance(settings) as instance:
        assert instance.get_runs()[0].status is dg.DagsterRunStatus.SUCCESS
        failing = failed_checks(instance, ())
    assert "leads: no_orphans" in failing
    assert not [name for name in failing if "totals_agree" in name]


def test_a_refusal_of_the_service_raises_the_engines_own_error(
    settings: Settings, warehouse: Warehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    refused = settings.model_copy(update={"token": None})
    with pytest.raises(SyncError) as failed:
        materialize_window(refused, warehouse, WEEK, Silence())
    assert "dagster" not in str(failed.value).lower()
    assert capfd.readouterr() == ("", "")


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({}, "without a day: choose a partition"),
        ({"dagster/partition": "2099-01-01"}, "2099-01-01 has not ended yet"),
        ({"dagster/partition": "2014-12-31"}, "set LCM_START_DATE to an earlier day"),
        (
            {
                "dagster/asset_partition_range_start": "2026-03-03",
                "dagster/asset_partition_range_end": "2099-01-01",
            },
            "2099-01-01 has not ended yet",
        ),
        (
            {
                "dagster/asset_partition_range_start": "2026-03-09",
                "dagster/asset_partition_range_end": "2026-03-03",
            },
            "cannot end on 2026-03-03, before it begins: 2026-03-09",
        ),
    ],
    ids=["none", "future", "before the first", "range into the future", "reversed"],
)
def test_a_run_launched_for_days_that_cannot_be_synced_reads_nothing(
    tags: dict[str, str], message: str, scripted: ScriptedRuns
) -> None:
    """Dagster's page and GraphQL launch a run with any tags; `lcm sync` checks its days itself."""
    read: list[str] = []
    engine = ScriptedEngine(scripted.settings, scripted.warehouse, script=read.append)
    with closing(SyncResource(engine)) as sync, dagster_instance(scripted.settings) as instance:
        with pytest.raises(RunFailedError, match=message):
            run_in_process(instance, sync, tags)
        assert (read, engine.begun) == ([], [])
        assert not materialized(instance, "clients")
        record = instance.get_latest_materialization_event(dg.AssetKey("clients"))
        assert record is None


def test_a_check_can_be_run_alone_without_a_day(scripted: ScriptedRuns) -> None:
    checks = dg.AssetSelection.checks_for_assets("clients")
    engine = SyncEngine(scripted.settings, scripted.warehouse)
    with closing(SyncResource(engine)) as sync, dagster_instance(scripted.settings) as instance:
        job = dg.Definitions(
            assets=build_definitions(sync).assets,
            asset_checks=CHECKS,
            jobs=[dg.define_asset_job("checks_alone", checks)],
            resources={"sync": sync},
        ).resolve_job_def("checks_alone")
        assert job.execute_in_process(instance=instance).success


@pytest.mark.slow
def test_a_feed_that_fails_does_not_stop_the_others(
    scripted: ScriptedRuns,
) -> None:
    done: list[str] = []

    def script(feed: str) -> None:
        if feed == "operations":
            raise SyncError("the fuse")
        done.append(feed)

    with dagster_instance(scripted.settings) as instance:
        with pytest.raises(SyncError, match="the fuse"):
            scripted.run(instance, WEEK, script)
        assert done == [feed.name for feed in FEEDS if feed.name != "operations"]
        assert instance.get_runs()[0].status == dg.DagsterRunStatus.FAILURE
        assert not materialized(instance, "operations")
        assert len(materialized(instance, "leads")) == 7


@pytest.mark.slow
def test_two_failures_are_both_reported(scripted: ScriptedRuns) -> None:
    def script(feed: str) -> None:
        if feed in ("operations", "leads"):
            raise SyncError(f"no {feed}")

    with (
        dagster_instance(scripted.settings) as instance,
        pytest.raises(SyncError, match="no operations") as failed,
    ):
        scripted.run(instance, WEEK, script)
    assert failed.value.__notes__ == ["also failed: no leads"]


def test_the_log_of_a_failed_run_has_the_cause_and_one_line_of_the_steps_it_skipped(
    scripted: ScriptedRuns,
) -> None:
    def fail_operations(feed: str) -> None:
        if feed == "operations":
            raise SyncError("no operations today")

    with dagster_instance(scripted.settings) as instance, pytest.raises(SyncError):
        scripted.run(instance, WEEK, fail_operations)
    lines = [e.text for e in read_run_log(scripted.settings, None, logging.ERROR).entries]
    assert any("no operations today" in line for line in lines)
    [skipped] = [line for line in lines if "did not run" in line]
    assert re.match(r"\d+ steps did not run, as an earlier one failed: \w+, ", skipped)
    assert not [line for line in lines if "Not executing" in line]


@pytest.mark.slow
def test_a_check_that_cannot_query_fails_the_run(scripted: ScriptedRuns) -> None:
    with scripted.warehouse.connect() as session:
        session.execute("alter table core.leads rename to elsewhere")
    with (
        dagster_instance(scripted.settings) as instance,
        pytest.raises(RunFailedError, match=r'leads.*"core\.leads" does not exist') as failed,
    ):
        scripted.run(instance, WEEK)
    assert str(failed.value).endswith("All feeds are published: lcm marts refreshes the marts")


def test_ctrl_c_ends_the_run_and_is_raised(scripted: ScriptedRuns) -> None:
    def script(feed: str) -> None:
        if feed == "operations":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

    with dagster_instance(scripted.settings) as instance:
        with pytest.raises(KeyboardInterrupt):
            scripted.run(instance, WEEK, script)
        assert instance.get_runs()[0].status == dg.DagsterRunStatus.FAILURE


@pytest.mark.slow
def test_a_year_of_days_is_one_run_of_seconds(scripted: ScriptedRuns) -> None:
    year = days("2025-03-01", "2026-02-28")
    with dagster_instance(scripted.settings) as instance:
        started = time.process_time()
        reports: list[SyncReport] = scripted.run(instance, year)
        assert time.process_time() - started < 30
        assert [len(report.window) for report in reports] == [365] * 4
        assert all(len(materialized(instance, table)) == 365 for table in TABLES)
        assert len(instance.get_runs()) == 1


_SYNC = """
import sys, time
from contextlib import closing
from pathlib import Path
from lcm_pipeline.orchestration.storage.instance import dagster_instance, instance_home

from lcm_pipeline.orchestration.launch import run_in_process
from lcm_pipeline.orchestration.storage.local_runs import local_run_id
from lcm_pipeline.orchestration.partitions import tags_for
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import Warehouse
from tests.pipeline.dagster_runs import ScriptedEngine, days

home, url, first, last, seconds = sys.argv[1:]
settings = load_settings(home=Path(home))

def script(feed):
    print(feed, flush=True)
    time.sleep(float(seconds))

engine = ScriptedEngine(settings, Warehouse(url), script=script)
home = instance_home(settings)
with dagster_instance(settings) as instance, local_run_id(instance, home) as run_id:
    with closing(SyncResource(engine)) as session:
        run_in_process(instance, session, tags_for(days(first, last)), run_id=run_id)
"""


def sync_elsewhere(
    scripted: ScriptedRuns, first: str, last: str, seconds: float = 0.0
) -> subprocess.Popen[str]:
    arguments = [str(scripted.settings.home_path), scripted.warehouse.url, first, last]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _SYNC, *arguments, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_concurrent_commands_share_a_home_that_does_not_exist_yet(
    scripted: ScriptedRuns,
) -> None:
    weeks = [
        ("2026-03-01", "2026-03-07"),
        ("2026-03-08", "2026-03-14"),
        ("2026-03-08", "2026-03-21"),
    ]
    running = [sync_elsewhere(scripted, *week) for week in weeks]
    for process in running:
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")
    with dagster_instance(scripted.settings) as instance:
        assert len(instance.get_runs()) == 3
        assert len(materialized(instance, "favourite_stats")) == 21


@pytest.mark.slow
def test_the_run_of_a_killed_command_is_marked_as_failed(scripted: ScriptedRuns) -> None:
    process = sync_elsewhere(scripted, "2026-03-01", "2026-03-02", seconds=60)
    assert process.stdout is not None
    assert process.stdout.readline() == "registrations\n"
    home = instance_home(scripted.settings)
    with dagster_instance(scripted.settings) as instance:
        assert fail_dead_runs(instance, home) == 0
        assert instance.get_runs()[0].status == dg.DagsterRunStatus.STARTED
        process.kill()
        process.communicate()
        assert fail_dead_runs(instance, home) == 1
        assert instance.get_runs()[0].status == dg.DagsterRunStatus.FAILURE
        assert fail_dead_runs(instance, home) == 0


def test_a_run_that_ended_leaves_no_file_in_running(scripted: ScriptedRuns) -> None:
    home = instance_home(scripted.settings)
    with (
        dagster_instance(scripted.settings) as instance,
        local_run_id(instance, home) as run_id,
    ):
        assert [path.name for path in (home / "running").iterdir()] == [run_id]
    assert not list((home / "running").iterdir())


@pytest.mark.parametrize("in_process", [True, False])
def test_a_run_that_is_interrupted_before_it_starts_is_cancelled(
    scripted: ScriptedRuns, in_process: bool
) -> None:
    home = instance_home(scripted.settings)
    job = dg.JobDefinition(name="sync", graph_def=dg.GraphDefinition(name="sync"))
    with dagster_instance(scripted.settings) as instance:
        with pytest.raises(KeyboardInterrupt), local_run_id(instance, home) as name:
            if in_process:
                instance.create_run_for_job(job, run_id=name)
            else:
                instance.create_run_for_job(job, tags={PROCESS_TAG: name})
            raise KeyboardInterrupt
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]
    assert not list((home / "running").iterdir())


def test_an_interrupted_run_that_cannot_be_marked_is_left_to_the_next_command(
    scripted: ScriptedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = instance_home(scripted.settings)
    with dagster_instance(scripted.settings) as instance:
        with monkeypatch.context() as patch:

            def fail(*_: object) -> None:
                raise OSError("the storage is gone")

            patch.setattr(instance, "get_run_by_id", fail)
            with pytest.raises(KeyboardInterrupt), local_run_id(instance, home):
                raise KeyboardInterrupt
        assert len(list((home / "running").iterdir())) == 1
        fail_dead_runs(instance, home)
    assert not list((home / "running").iterdir())


@pytest.mark.slow
def test_a_mart_has_no_partitions_and_is_planned_once_in_a_range(scripted: ScriptedRuns) -> None:
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    with dagster_instance(scripted.settings) as instance:
        scripted.run(instance, WEEK)
        [run] = instance.get_runs()
        planned = [
            entry.get_dagster_event().asset_key
            for entry in instance.all_logs(run.run_id, of_type=kind)
        ]
    assert planned.count(dg.AssetKey(["mart", "program_daily"])) == 1
    assert planned.count(dg.AssetKey("operations")) == len(WEEK)
