"""Rows that move, collide, reappear, turn invalid and are corrected by a hostile source."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest

from lcm_pipeline.feeds import OPERATIONS, REGISTRATIONS
from lcm_pipeline.simulator.customers import Customer, Entry
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.oracle import assert_exact
from tests.reconciling import totals_differing
from tests.stored import snapshot
from tests.syncing import MARCH, sync_everything


class Scene:
    """A programme with one long history, synced once, whose source can be edited."""

    def __init__(self, source: RunningSimulator, warehouse: Warehouse, make: MakeSettings) -> None:
        self.source = source
        self.warehouse = warehouse
        self._make = make
        self.sync()

    def sync(self, share: float = 0, **settings: Any) -> None:
        """Sync March again."""
        fields = {"page_length": 20, "audit_share": share, **settings}
        adjusted = self._make(self.source, self.warehouse, **fields)
        self.reports = sync_everything(adjusted, self.warehouse)

    @contextmanager
    def edit(self) -> Iterator[Customer]:
        """Yield the client with the longest history for changes."""
        world = self.source.world
        with world.lock:
            yield max(world.programme.customers.values(), key=lambda c: len(c.operations))

    def assert_exact(self, **options: Any) -> None:
        """Check that the warehouse equals the source and reconciles."""
        assert_exact(self.source, self.warehouse, last=MARCH.last, **options)
        assert totals_differing(self.warehouse, OPERATIONS).listed == []

    def count(self, statement: str) -> int:
        """Return the only number of a query."""
        with self.warehouse.connect() as session:
            row = session.execute(statement.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def open_quarantine(self) -> int:
        """Return the number of rows in quarantine."""
        return self.count("select count(*) from sync.quarantine where resolved_at is null")


@pytest.fixture
def scene(programme: Programme, warehouse: Warehouse, make_settings: MakeSettings) -> Scene:
    """Thirty clients, one of them with some 120 operations."""
    source = programme(clients=30, habits=["heavy_operations=120", "offers_daily=0.1"])
    return Scene(source, warehouse, make_settings)


def _newest(customer: Customer, position: int = 0) -> Entry:
    return customer.operations.newest_first()[position]


def test_a_row_that_moved_to_another_day_is_live_only_there(scene: Scene) -> None:
    with scene.edit() as customer:
        entry = _newest(customer, 3)
        day = entry.row["Proctime"][:10]
        entry.row["Proctime"] = "2026-02-27T23:59:59.9999999"
    scene.sync(delete_fuse=0)
    scene.assert_exact()
    moved = f"select count(*) from core.operations where operation_date = '{day}'"
    assert scene.count(f"{moved} and deleted_at is not null") == 1


def test_one_number_with_two_component_types_is_two_rows(scene: Scene) -> None:
    with scene.edit() as customer:
        entry = _newest(customer)
        for kind in (41, 255):
            row = {**entry.row, "ComponentType": kind}
            scene.source.world.programme.place(customer.operations, row, entry.moment)
    scene.sync()
    scene.assert_exact()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("position", [0, -1])
def test_a_row_that_reappears_is_live_again(scene: Scene, position: int) -> None:
    before = snapshot(scene.warehouse)["core.operations"]
    with scene.edit() as customer:
        entry = _newest(customer, position)
        customer.operations.remove(entry)
    scene.sync()
    scene.assert_exact()
    with scene.edit() as customer:
        customer.operations.add(entry)
    scene.sync()
    scene.assert_exact()
    assert len(snapshot(scene.warehouse)["core.operations"]) == len(before)
    assert scene.count("select count(*) from core.operations where deleted_at is not null") == 0


def test_a_changed_or_removed_phone_is_updated(scene: Scene) -> None:
    for phone in (9_000_000_001, None, 9_000_000_002):
        with scene.edit() as customer:
            customer.profile.Phone = phone
        scene.sync()
        stored = f"select coalesce(phone, 0) from core.clients where client_id = {customer.id}"
        assert scene.count(stored) == (phone or 0)


def test_a_registration_without_a_card_is_quarantined_and_its_client_is_read(scene: Scene) -> None:
    with scene.edit() as customer:
        entry = customer.registrations[0]
        card, entry.row["Card"] = entry.row["Card"], None
        scene.source.world.mutate("insert_top", customer.id)
    scene.sync(delete_fuse=1)
    assert scene.open_quarantine() == 1
    assert scene.reports["registrations"].quarantined == 1
    assert totals_differing(scene.warehouse, REGISTRATIONS).listed == []
    with scene.edit() as customer:
        entry.row["Card"] = card
    scene.sync()
    assert scene.open_quarantine() == 0
    scene.assert_exact()


@pytest.mark.slow
@pytest.mark.parametrize("position", [2, 70])
def test_a_row_that_turns_invalid_and_is_corrected_is_always_counted_once(
    scene: Scene, position: int
) -> None:
    with scene.edit() as customer:
        entry = _newest(customer, position)
        good = entry.row["Pos"]
        entry.row["Pos"], entry.bad = 2**63, True
        scene.source.world.mutate("insert_top", customer.id)
    scene.sync(share=1 if position > 20 else 0)
    scene.assert_exact()
    assert scene.open_quarantine() == 1
    with scene.edit() as customer:
        scene.source.world.mutate("insert_top", customer.id)
    scene.sync()
    scene.assert_exact()
    assert scene.open_quarantine() == 1
    with scene.edit() as customer:
        entry.row["Pos"], entry.bad = good, False
        scene.source.world.mutate("insert_top", customer.id)
    scene.sync()
    scene.assert_exact()
    assert scene.open_quarantine() == 0


@pytest.mark.slow
def test_an_invalid_good_of_an_offer_is_quarantined_until_corrected(scene: Scene) -> None:
    with scene.edit() as customer:
        offer = next(iter(customer.offer_of.values()))
        offer.goods[0]["NoActive"], good = "сломано", offer.goods[0]["NoActive"]
    scene.sync(share=1)
    assert scene.open_quarantine() == 1
    scene.source.world.mutate("insert_top", customer.id, kind="offers")
    scene.sync()
    assert scene.open_quarantine() == 1
    with scene.edit() as customer:
        offer.goods[0]["NoActive"] = good
    scene.sync(share=1)
    assert scene.open_quarantine() == 0
    scene.assert_exact()


def test_a_whole_history_may_move_to_another_client(scene: Scene) -> None:
    with scene.edit() as customer:
        others = sorted(scene.source.world.programme.customers)
        heir = next(client for client in others if client != customer.id)
    scene.source.world.merge(customer.id, heir)
    scene.sync(delete_fuse=0)
    scene.assert_exact()


def test_the_last_tick_of_a_day_belongs_to_that_day(scene: Scene) -> None:
    moment = "2026-03-30T23:59:59.9999999"
    with scene.edit() as customer:
        programme = scene.source.world.programme
        row = {**_newest(customer).row, "Id": 1, "Proctime": moment}
        ticks = _newest(customer).moment + 1
        programme.place(customer.operations, row, ticks)
        late = {**customer.registrations[0].row, "Card": 5, "RegDate": moment}
        lead = {**next(iter(_rows_of(programme, "leads"))), "Leads": 10**9, "ProcTime": moment}
        programme.place(customer.shelves["leads"], lead, ticks)
        day = customer.registrations[0].moment
        beginning = day - day % (24 * 3600 * 10**7)
        last = beginning + (date(2026, 3, 31) - date(2026, 3, 1)).days * 24 * 3600 * 10**7 - 1
        programme.place(programme.registrations, late, last)
    scene.sync()
    scene.assert_exact()
    assert scene.count("select count(*) from core.registrations where card_number = 5") == 1


def _rows_of(programme: Any, kind: str) -> Iterator[Any]:
    for customer in programme.customers.values():
        for entry in customer.shelves[kind]:
            yield entry.row
