"""The definitions for Dagster: assets by day, jobs and schedules, loadable without settings."""

import ast
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from lcm_pipeline.definitions import defs
from lcm_pipeline.feeds import CLIENT_FEEDS, FEEDS
from lcm_pipeline.orchestration.assets.feeds import FEED_ASSETS
from lcm_pipeline.orchestration.checks.feeds import completeness_sentence
from lcm_pipeline.orchestration.outages import WAITS_TAG
from lcm_pipeline.orchestration.partitions import DAYS, WindowError, days_of, tags_for
from lcm_pipeline.settings import load_settings
from tests.pipeline.dagster_runs import TABLES, days

MOSCOW = ZoneInfo("Europe/Moscow")
SPECS = [spec for asset in FEED_ASSETS for spec in asset.specs]


def test_the_definitions_load_without_any_setting(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("LCM_")}
    code = (
        "import dagster as dg; from lcm_pipeline.definitions import defs;"
        "dg.Definitions.validate_loadable(defs)"
    )
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**bare, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert (loaded.returncode, loaded.stderr) == (0, "")


def test_each_table_of_a_feed_is_an_asset() -> None:
    assert {spec.key.to_user_string() for spec in SPECS} == set(TABLES)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.key.to_user_string())
def test_every_asset_has_its_description_kinds_and_group(spec: dg.AssetSpec) -> None:
    assert spec.description is not None
    assert spec.description.startswith("One row per ")
    assert spec.kinds == {"http", "postgres"}
    assert spec.group_name in {feed.asset_group for feed in FEEDS}
    assert spec.freshness_policy is not None
    if spec.key != dg.AssetKey("clients"):
        assert [dep.asset_key for dep in spec.deps] == [dg.AssetKey("clients")]


@pytest.mark.parametrize("asset", FEED_ASSETS, ids=lambda asset: asset.node_def.name)
def test_a_range_of_business_days_is_one_run(asset: dg.AssetsDefinition) -> None:
    assert asset.partitions_def == DAYS
    assert DAYS.timezone == "Europe/Moscow"
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()


def test_an_asset_has_at_most_five_statements() -> None:
    folder = Path(sys.modules["lcm_pipeline.orchestration.assets"].__file__ or "").parent
    functions = [
        node
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    assert functions
    assert all(len(function.body) - 1 <= 5 for function in functions)


def test_the_days_begin_with_the_start_date_of_the_settings() -> None:
    partitions = days_of(load_settings(start_date="2026-02-01", timezone="Asia/Omsk"))
    assert partitions.get_first_partition_key() == "2026-02-01"
    assert partitions.timezone == "Asia/Omsk"


def test_a_day_that_has_not_ended_is_refused() -> None:
    today = datetime.now(MOSCOW).date()
    yesterday = today - timedelta(days=1)
    assert tags_for(days(str(yesterday))) == {"dagster/partition": str(yesterday)}
    with pytest.raises(WindowError, match=f"{today} has not ended yet in Europe/Moscow"):
        tags_for(days(str(yesterday), str(today)))


def test_a_day_before_the_first_is_refused() -> None:
    with pytest.raises(WindowError, match="LCM_START_DATE"):
        tags_for(days("2014-12-31"))


def test_the_daily_schedule_requests_the_day_that_has_just_ended() -> None:
    schedule = defs.resolve_schedule_def("sync_yesterday")
    six = datetime(2026, 3, 15, 6, tzinfo=MOSCOW)
    with dg.build_schedule_context(
        scheduled_execution_time=six, repository_def=defs.get_repository_def()
    ) as context:
        ticked = schedule.evaluate_tick(context)
    assert [request.partition_key for request in ticked.run_requests or ()] == ["2026-03-14"]
    (request,) = ticked.run_requests or ()
    # The daemon retries a failed run of the schedule as a whole.
    assert request.tags["dagster/max_retries"] == "2"
    assert request.tags["dagster/retry_on_asset_or_op_failure"] == "true"
    assert WAITS_TAG in request.tags
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 * * *", "Europe/Moscow")


def test_nothing_calls_the_service_before_it_is_turned_on() -> None:
    running = [
        schedule.name
        for schedule in defs.get_repository_def().schedule_defs
        if schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    ]
    assert running == ["delete_old_runs_nightly"]
    sensors = defs.get_repository_def().sensor_defs
    assert {one.name: one.default_status for one in sensors} == {
        "alert_on_failed_run": dg.DefaultSensorStatus.STOPPED,
        "alert_on_state": dg.DefaultSensorStatus.STOPPED,
        "profile_updates_pending": dg.DefaultSensorStatus.STOPPED,
        "terminate_canceling_run": dg.DefaultSensorStatus.RUNNING,
    }


def test_materializing_everything_never_writes_to_the_service() -> None:
    graph = defs.resolve_asset_graph()
    outbox = dg.AssetKey("profile_updates")
    assert outbox in graph.get_all_asset_keys()
    assert outbox not in graph.materializable_asset_keys
    every = defs.resolve_job_def("sync_days")
    assert "send_profile_updates" not in every.graph.node_dict
    assert outbox not in every.asset_layer.asset_graph.materializable_asset_keys
    checked = {key.asset_key for key in every.asset_layer.asset_graph.asset_check_keys}
    assert outbox not in checked


def test_every_job_has_a_description() -> None:
    names = ("sync_days", "sync_clients_only", "sync_operations_and_leads", "delete_old_runs")
    names += ("push_profiles",)
    assert all(defs.resolve_job_def(name).description for name in names)


def test_only_the_totals_of_facts_block_what_is_built_on_them() -> None:
    specs = defs.resolve_asset_graph().asset_check_keys
    checks = {key: defs.resolve_asset_graph().get_check_spec(key) for key in specs}
    blocking = {key.asset_key.to_user_string() for key, spec in checks.items() if spec.blocking}
    assert blocking == {feed.checked_asset for feed in CLIENT_FEEDS}
    assert {key.name for key in specs} == {
        "totals_agree",
        "keys_are_unique",
        "no_orphans",
        "one_client_has_each_row",
        "share_complete",
        "no_update_is_stuck",
        "residual_is_small",
        "rollforward_adds_up",
        "closed_months_stay",
        "no_negative_balances",
        "points_have_lots",
        "spending_order_is_known",
        "burns_are_known",
        "cheque_points_are_known",
        "refund_points_are_known",
        "bonus_redemptions_are_known",
        "no_doubtful_refunds",
        "lead_statuses_are_mapped",
        "parameters_are_heeded",
    }
    assert all(spec.description for spec in checks.values())


@pytest.mark.parametrize(
    ("total", "pending", "sentence"),
    [
        (15_000, 3, "2026-03-04 is 99.98 % complete, 3 clients pending"),
        (1_000_000, 1, "2026-03-04 is 99.99 % complete, 1 client pending"),
        (5, 5, "2026-03-04 is 0.00 % complete, 5 clients pending"),
        (5, 0, "2026-03-04 is complete, 5 clients read"),
        (0, 0, "2026-03-04 is complete, 0 clients read"),
    ],
)
def test_a_share_is_never_rounded_up_to_the_whole(total: int, pending: int, sentence: str) -> None:
    assert completeness_sentence("operations", "2026-03-04", total, pending) == sentence
