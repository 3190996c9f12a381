"""`lcm verify` names exactly the rows that differ from the source."""

import pytest

from lcm_pipeline.sync.verify import Verification, verify_clients
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.syncing import sync_everything

Told = tuple[str, tuple[object, ...], str, tuple[str, ...]]


def _told(verification: Verification) -> set[Told]:
    return {(d.table, d.key, d.kind, d.columns) for d in verification.differences}


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


def test_the_rows_that_were_tampered_with_are_named_and_no_others(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    expected: set[Told] = set()
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
    assert _told(verify_clients(settings, warehouse, None)) == expected


def test_a_sample_is_as_large_as_asked(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=25)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    assert verify_clients(settings, warehouse, 5).clients == 5
