"""`lcm verify` names exactly the rows that differ from the source, and repairs them on request."""

from pathlib import Path

import pytest

from lcm_pipeline.cli.commands.verify import verify
from lcm_pipeline.feeds import feed_named
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.verify.repair import refresh_after_repair, repair_clients
from lcm_pipeline.verify.verify import Verification, verify_clients
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import are_up_to_date, refresh_marts
from tests.conftest import MakeSettings, Programme
from tests.oracle import assert_exact
from tests.syncing import MARCH, sync_everything

Found = tuple[str, tuple[object, ...], str, tuple[str, ...]]


def _differences(verification: Verification) -> set[Found]:
    return {(d.table, d.key, d.kind, d.columns) for d in verification.differences}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("quirk", ["max_length=9", "zero_based=true", "totals=null"])
def test_a_fresh_sync_verifies_without_a_difference(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings, quirk: str
) -> None:
    source = programme(clients=25, quirks=[quirk], habits=["bad_rows=0.05"])
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    verification = verify_clients(settings, warehouse, None)
    assert (verification.differences, verification.unproven) == ([], 0)
    assert verification.clients > 20


def test_without_a_client_there_is_nothing_to_verify(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LCM_API_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("LCM_DATABASE_URL", warehouse.url)
    with pytest.raises(UsageError, match="nothing to verify"):
        verify(sample=1, everyone=True, fix=False)


def test_only_tampered_rows_are_named(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    expected = _tamper(warehouse)
    assert _differences(verify_clients(settings, warehouse, None)) == expected


def test_tampered_rows_are_repaired_and_no_other_client_is_read(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    before = _days(warehouse)
    _tamper(warehouse)
    found = verify_clients(settings, warehouse, None)
    source.service.traffic.reset()
    repair = repair_clients(SyncEngine(settings, warehouse), found)
    differing = {difference.client_id for difference in found.differences}
    assert repair.left.is_clean
    assert repair.left.clients == len(differing) < found.clients
    requests = source.service.traffic.counts()["by_endpoint_and_client"]
    assert {int(client) for clients in requests.values() for client in clients} == differing
    for report in repair.reports:
        assert report.is_complete
        tables = {table.name for table in feed_named(report.feed).tables}
        of_feed = {one.client_id for one in found.differences if one.table in tables}
        assert (report.clients, report.deferred) == (len(of_feed), 0)
    assert_exact(source, warehouse, last=MARCH.last)
    # The completeness of days is unchanged, and no day was added.
    assert _days(warehouse) == before
    assert verify_clients(settings, warehouse, None).is_clean


@pytest.mark.slow
def test_marts_are_not_refreshed_while_totals_of_clients_that_were_not_compared_differ(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(clients=10), warehouse)
    sync_everything(settings, warehouse)
    refresh_marts(warehouse)
    with warehouse.connect() as session:
        lost = session.execute(
            "delete from core.operations where amount > 0 and client_id ="
            " (select max(client_id) from core.operations where amount > 0) returning client_id"
        ).fetchone()
        assert lost is not None
        # A refresh would take up what a publish has changed.
        session.execute("update refresh.marts set signature = 'forgotten'")
        session.execute("insert into refresh.changed_clients select %s", lost)
        before = session.execute("table mart.sales_daily").fetchall()
    assert refresh_after_repair(warehouse) == ["operations"]
    with warehouse.connect() as session:
        assert session.execute("table mart.sales_daily").fetchall() == before
    repair_clients(SyncEngine(settings, warehouse), verify_clients(settings, warehouse, None))
    assert refresh_after_repair(warehouse) == []
    assert are_up_to_date(warehouse)


def test_changes_in_the_source_are_repaired_before_the_next_sync(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=20)
    settings = make_settings(source, warehouse, page_length=10)
    sync_everything(settings, warehouse)
    owners = [row["Client"] for row in source.world.truth()["operations"]]
    longest = max(set(owners), key=owners.count)
    assert source.world.mutate("change", longest, kind="operations")
    found = verify_clients(settings, warehouse, None)
    assert {(d.client_id, d.kind, d.columns) for d in found.differences} == {
        (longest, "different", ("is_active",))
    }
    assert repair_clients(SyncEngine(settings, warehouse), found).left.is_clean
    assert_exact(source, warehouse, last=MARCH.last)


@pytest.mark.slow
def test_a_client_that_cannot_be_reread_is_left_and_reported(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=20)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    with warehouse.connect() as session:
        session.execute("update core.operations set remain = -1")
    found = verify_clients(settings, warehouse, None)
    failing, *_ = sorted({d.client_id for d in found.differences})
    source.service.faults.set(
        [FaultRule(kind="sql_other", endpoint="OperationHistory", client=failing)]
    )
    repair = repair_clients(SyncEngine(settings, warehouse), found)
    assert [report.pending for report in repair.reports if report.feed == "operations"] == [1]
    assert (repair.left.unproven, repair.left.is_clean) == (1, False)
    source.service.faults.set([])
    # It is pending and its state was reset: the next sync reads it first and in full.
    sync_everything(settings, warehouse)
    assert_exact(source, warehouse, last=MARCH.last)


def test_a_repair_stops_at_the_delete_fuse(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=20)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    owners = [row["Client"] for row in source.world.truth()["operations"]]
    source.world.mutate("delete_all", max(set(owners), key=owners.count), kind="operations")
    found = verify_clients(settings, warehouse, None)
    assert "surplus" in {d.kind for d in found.differences}
    with pytest.raises(SyncError, match="LCM_DELETE_FUSE"):
        repair_clients(SyncEngine(settings, warehouse), found)
    permissive = make_settings(source, warehouse, delete_fuse=1)
    assert repair_clients(SyncEngine(permissive, warehouse), found).left.is_clean


def test_an_unreachable_service_ends_a_verification_at_once(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=60)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    source.service.faults.set([FaultRule(kind="sql_other")])
    with pytest.raises(SyncError, match="Nothing was changed"):
        verify_clients(settings, warehouse, None)


def test_a_sample_has_the_requested_size(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=25)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    assert verify_clients(settings, warehouse, 5).clients == 5


def _tamper(warehouse: Warehouse) -> set[Found]:
    """Change some rows directly; returns the differences that a verification has to report."""
    expected: set[Found] = set()
    with warehouse.connect() as session:

        def tamper(table: str, kind: str, change: str, key: str, *columns: str) -> None:
            row = session.execute(
                f"with one as (select ctid as at, tableoid as part from core.{table}"
                " where deleted_at is null order by synced_at, ctid limit 1)"
                f" {change.format(table=f'core.{table}', one='one')} returning {key}".encode()
            ).fetchone()
            assert row is not None
            expected.add((table, tuple(row), kind, columns))

        chosen = "one where (kept.ctid, kept.tableoid) = (at, part)"
        change = f"update {{table}} as kept set %s from {chosen}"
        operation = "kept.operation_date, kept.client_id, kept.component_type, kept.operation_id"
        tamper("operations", "missing", change % "deleted_at = now()", operation)
        tamper("operations", "different", change % "remain = 0.01", operation, "remain")
        tamper(
            "leads",
            "different",
            change % "status_name = 'нет', unread_count = -1",
            "kept.lead_date, kept.client_id, kept.lead_id",
            "status_name",
            "unread_count",
        )
        tamper(
            "favourite_offers",
            "different",
            change % "is_inactive = null",
            "kept.offer_date, kept.client_id, kept.favourite_id",
            "is_inactive",
        )
        tamper(
            "favourite_goods",
            "missing",
            f"delete from {{table}} as kept using {chosen}",
            "kept.client_id, kept.favourite_id, kept.list_data_id",
        )
        tamper(
            "favourite_stats", "different", change % "sum_gain = -1", "kept.client_id", "sum_gain"
        )
        surplus = session.execute(
            "insert into core.operations (operation_date, client_id, component_type, operation_id,"
            " processed_at, sync_run_id, first_seen_at, synced_at)"
            " select operation_date, client_id, 9, 9, processed_at, sync_run_id, now(), now()"
            " from core.operations where deleted_at is null limit 1"
            " returning operation_date, client_id, component_type, operation_id"
        ).fetchone()
        assert surplus is not None
        expected.add(("operations", tuple(surplus), "surplus", ()))
    return expected


def _days(warehouse: Warehouse) -> set[tuple[object, ...]]:
    with warehouse.connect() as session:
        rows = session.execute(
            "select feed, day, clients, pending, deferred from sync.day_completeness"
        )
        return set(rows.fetchall())
