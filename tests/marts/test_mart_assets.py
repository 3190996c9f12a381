"""Marts in Dagster: downstream of the facts they read, and blocked when those do not add up."""

from contextlib import closing
from datetime import date

import dagster as dg
import pytest

from lcm_pipeline.definitions import defs
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.assets.marts import MARTS
from lcm_pipeline.orchestration.code_location import build_definitions
from lcm_pipeline.orchestration.launch import materialize_window
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.orchestration.run_failures import BlockingChecksFailedError
from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.progress import LoggedProgress
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import RUN_VIEWS, marts
from tests.conftest import MakeSettings, Programme
from tests.marts.comparing import read_mart
from tests.syncing import sync_everything

SPECS = {spec.key.path[-1]: spec for step in MARTS for spec in step.specs}
WEEK = Window(date(2026, 3, 1), date(2026, 3, 7))


def _materialized(instance: dg.DagsterInstance) -> set[str]:
    keys = {name: dg.AssetKey(["mart", name]) for name in SPECS}
    return {name for name, key in keys.items() if instance.get_latest_materialization_event(key)}


def _sync(settings: Settings, warehouse: Warehouse, window: Window = WEEK) -> None:
    materialize_window(settings, warehouse, window, LoggedProgress())


def _lose_an_operation(warehouse: Warehouse) -> None:
    """Delete a purchase, so that the totals of its client differ."""
    with warehouse.connect() as session:
        session.execute(
            "delete from core.operations where operation_id ="
            " (select max(operation_id) from core.operations where amount > 0)"
        )


def facts_above(name: str) -> set[str]:
    """The assets of facts that a mart is built on."""
    above = defs.resolve_asset_graph().get_ancestor_asset_keys(dg.AssetKey(["mart", name]))
    return {key.path[0] for key in above} - {"mart"}


def test_every_mart_is_an_asset_with_its_header_as_description() -> None:
    assert SPECS.keys() == {mart.name for mart in marts()} - RUN_VIEWS
    for mart in marts():
        if mart.name in SPECS:
            assert mart.question in (SPECS[mart.name].description or "")
            assert SPECS[mart.name].group_name == "marts"


def test_lineage_leads_to_the_facts() -> None:
    assert facts_above("store_daily") == {"clients", "operations"}
    assert facts_above("leads_sla") == {"clients", "leads"}
    assert "favourite_offers" in facts_above("client_360")


@pytest.mark.slow
def test_operations_that_do_not_add_up_block_every_table_that_is_built_on_them(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(clients=30), warehouse, timezone="Europe/Moscow")
    _sync(settings, warehouse)
    _lose_an_operation(warehouse)
    # The others show how complete the facts are, and which were restated.
    shown = {"data_completeness", "restatements", "restated_rows"}
    built = [
        mart.name
        for mart in marts()
        if mart.kind != "view" and mart.name not in shown and "operations" in facts_above(mart.name)
    ]
    assert {"cheques", "points_movements", "sales_daily"} <= set(built)
    before = {name: read_mart(warehouse, name) for name in built}
    with pytest.raises(BlockingChecksFailedError, match="operations: totals differ for 1"):
        # New rows come as well, which a refresh would take up.
        _sync(settings, warehouse, Window(WEEK.first, date(2026, 3, 14)))
    for name in built:
        assert read_mart(warehouse, name) == before[name], name


def test_only_marts_of_facts_that_do_not_add_up_are_blocked(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(clients=30), warehouse, timezone="Europe/Moscow")
    _sync(settings, warehouse)
    with dagster_instance(settings) as instance:
        assert _materialized(instance) == SPECS.keys()
        instance.wipe_assets([dg.AssetKey(["mart", name]) for name in SPECS])
    with warehouse.connect() as session:
        session.execute(
            "delete from core.leads where lead_id = (select min(lead_id) from core.leads)"
        )
    before = read_mart(warehouse, "leads_daily")
    assert before
    with pytest.raises(BlockingChecksFailedError, match="leads: totals differ for 1"):
        _sync(settings, warehouse)
    with dagster_instance(settings) as instance:
        blocked = SPECS.keys() - _materialized(instance)
    assert blocked == {
        "leads_daily", "leads_sla", "client_360", "client_interests", "data_completeness",
        "restatements", "restated_rows", "dim_lead_statuses",
    }  # fmt: skip
    assert read_mart(warehouse, "leads_daily") == before, "a blocked mart keeps its answers"


@pytest.mark.slow
def test_marts_in_a_run_of_their_own_are_blocked_too(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(clients=30), warehouse, timezone="Europe/Moscow")
    _sync(settings, warehouse)
    _lose_an_operation(warehouse)
    engine = SyncEngine(settings, warehouse)
    with closing(SyncResource(engine)) as sync, dagster_instance(settings) as instance:
        job = build_definitions(sync).resolve_job_def("sync_days")
        instance.wipe_assets([dg.AssetKey(["mart", name]) for name in SPECS])
        # As the daemon does in a backfill, once the run of the facts has ended.
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["mart", name]) for name in SPECS],
            raise_on_error=False,
        )
        refreshed = _materialized(instance)
    step = "refreshed_marts_of_operations_registrations"
    assert [event.step_key for event in result.all_events if event.is_step_failure] == [step]
    assert "operations: totals differ for 1" in str(result.failure_data_for_node(step))
    assert {"leads_daily", "favourite_uptake"} <= refreshed
    assert not {"cheques", "program_daily", "data_completeness"} & refreshed


@pytest.mark.slow
def test_a_step_leaves_no_mart_behind_that_another_run_has_published_for(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Another run publishes between two steps of a run: the second one refreshes all tables."""
    settings = make_settings(programme(clients=30), warehouse, timezone="Europe/Moscow")
    _sync(settings, warehouse)
    last = date(2026, 3, 14)
    sync_everything(settings, warehouse, Window(WEEK.first, last))
    [step] = [step for step in MARTS if dg.AssetKey(["mart", "client_360"]) in step.keys]
    engine = SyncEngine(settings, warehouse)
    with closing(SyncResource(engine)) as sync, dagster_instance(settings) as instance:
        job = build_definitions(sync).resolve_job_def("sync_days")
        assert job.execute_in_process(instance=instance, asset_selection=list(step.keys)).success
    days = {name: read_mart(warehouse, name) for name in ("store_daily", "program_daily")}
    sold = {name: sum(row["purchases"] for row in rows) for name, rows in days.items()}
    assert sold["program_daily"] == sold["store_daily"]
    assert last in {row["day"] for row in read_mart(warehouse, "published_days")}
