"""The fuses of a publish: phones that vanish, a roster that grows suddenly, absurd months."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row

from lcm_pipeline.feeds import LEADS, OPERATIONS, REGISTRATIONS
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.tables import leads
from lcm_pipeline.model.tasks import Outcome, StagedRows, Task
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest import tasks
from lcm_pipeline.warehouse.ingest.fuses import PublishRefusedError
from lcm_pipeline.warehouse.ingest.publish import publish
from lcm_pipeline.warehouse.ingest.runs import begin_run
from lcm_pipeline.warehouse.ingest.staging import make_staging
from lcm_pipeline.warehouse.partitions import MonthsRefusedError, ensure_partitions
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.conftest import MakeSettings, Programme
from tests.ledger import claim_clients
from tests.marts.author import Author
from tests.marts.worlds import empty_world
from tests.stored import snapshot
from tests.syncing import MARCH, sync_everything

OPENING, SECOND, THIRD = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)


@pytest.fixture
def shop(programme: Programme) -> RunningSimulator:
    """A programme of forty clients; each has a phone."""
    source = programme(clients=40, seed=5)
    with source.world.lock:
        for number, customer in source.world.programme.customers.items():
            customer.profile.Phone = 9_000_000_000 + number
    return source


@pytest.fixture
def settings(shop: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings) -> Settings:
    """The settings with which the shop was synced into the warehouse."""
    settings = make_settings(shop, warehouse)
    sync_everything(settings, warehouse)
    return settings


def _change_phones(source: RunningSimulator, clients: list[int], phone: int | None) -> None:
    with source.world.lock:
        for client in clients:
            source.world.programme.customers[client].profile.Phone = phone


def _phones(warehouse: Warehouse) -> dict[int, int | None]:
    with warehouse.connect() as session:
        return dict(session.execute("select client_id, phone from core.clients").fetchall())


def _earlier(warehouse: Warehouse) -> list[dict[str, Any]]:
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from history.clients order by valid_to").fetchall()


def test_many_vanished_phones_stop_the_publish(
    shop: RunningSimulator,
    warehouse: Warehouse,
    settings: Settings,
    make_settings: MakeSettings,
) -> None:
    before, phones = snapshot(warehouse), _phones(warehouse)
    assert None not in phones.values()
    _change_phones(shop, sorted(phones), None)
    with pytest.raises(SyncError, match=r"the phone of \d+ of \d+ clients.*LCM_DELETE_FUSE"):
        SyncEngine(settings, warehouse).sync(OPERATIONS, MARCH)
    assert snapshot(warehouse) == before
    # An operator who knows that it is correct disables the fuse.
    permissive = make_settings(shop, warehouse, delete_fuse=1)
    SyncEngine(permissive, warehouse).sync(OPERATIONS, MARCH)
    assert set(_phones(warehouse).values()) == {None}
    assert {row["client_id"]: row["phone"] for row in _earlier(warehouse)} == phones


def test_a_few_phones_may_vanish_unless_the_fuse_is_zero(
    shop: RunningSimulator,
    warehouse: Warehouse,
    settings: Settings,
    make_settings: MakeSettings,
) -> None:
    clients = sorted(_phones(warehouse))[:4]
    assert len(clients) > settings.delete_fuse * 40
    _change_phones(shop, clients, None)
    strict = make_settings(shop, warehouse, delete_fuse=0)
    with pytest.raises(SyncError, match="phone of 4 of 40 clients"):
        SyncEngine(strict, warehouse).sync(OPERATIONS, MARCH)
    SyncEngine(settings, warehouse).sync(OPERATIONS, MARCH)
    assert {client for client, phone in _phones(warehouse).items() if phone is None} == {*clients}


def test_history_keeps_each_earlier_version_of_a_client(
    shop: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    # The roster has no phones; those come with the operations, which is not a change.
    assert _earlier(warehouse) == []
    client = min(_phones(warehouse))
    phones = [_phones(warehouse)[client], 9_111_111_111, None, 9_222_222_222]
    for phone in phones[1:]:
        _change_phones(shop, [client], phone)
        SyncEngine(settings, warehouse).sync(OPERATIONS, MARCH)
    earlier = _earlier(warehouse)
    assert [(row["client_id"], row["phone"]) for row in earlier] == [
        (client, phone) for phone in phones[:-1]
    ]
    assert _phones(warehouse)[client] == phones[-1]
    # The versions follow without a gap, and the last one ends where the current row begins.
    ends = [row["valid_to"] for row in earlier]
    begins = [row["valid_from"] for row in earlier]
    assert begins[1:] == ends[:-1]
    with warehouse.connect() as session:
        current = session.execute(
            "select synced_at, registered_at from core.clients where client_id = %s", (client,)
        ).fetchone()
    assert current == (ends[-1], earlier[0]["registered_at"])
    SyncEngine(settings, warehouse).sync(OPERATIONS, MARCH)
    assert _earlier(warehouse) == earlier


def test_an_earlier_registration_creates_a_new_version(
    warehouse: Warehouse, settings: Settings
) -> None:
    """A card of an earlier day arrives late and changes the first registration of the client."""
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "update core.clients set registered_at = registered_at + interval '1 day',"
            " registration_date = registration_date + 1 where client_id ="
            " (select min(client_id) from core.clients)"
        )
        session.execute("update sync.registration_days set fingerprint = null")
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, MARCH)
    (row,) = _earlier(warehouse)
    with warehouse.connect() as session:
        current = session.execute(
            "select registration_date, phone from core.clients where client_id = %s",
            (row["client_id"],),
        ).fetchone()
    assert current == (row["registration_date"] - timedelta(days=1), row["phone"])


@pytest.fixture
def young() -> Iterator[RunningSimulator]:
    """A programme at noon of 2026-03-04 without any registration."""
    with empty_world(OPENING, datetime(2026, 3, 4, 12)) as simulator:
        yield simulator


def _register(source: RunningSimulator, day: date, first: int, count: int) -> None:
    author = Author(source)
    with source.world.lock:
        for number in range(first, first + count):
            author.client(number, f"{day}T10:00:00", [{"Card": number}])


def _settings(source: RunningSimulator, warehouse: Warehouse, home: Path, **more: Any) -> Settings:
    return load_settings(home=home, api_url=source.url, database_url=warehouse.url, **more)


def _clients(warehouse: Warehouse) -> int:
    return len(_phones(warehouse))


@pytest.mark.slow
def test_a_roster_that_grows_suddenly_stops_the_publish(
    young: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    _register(young, OPENING, 1, 5)
    settings = _settings(young, warehouse, tmp_path)
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(OPENING, OPENING))
    _register(young, SECOND, 1_000, 10_050)
    with pytest.raises(SyncError, match=r"10,050 new clients registered on 2026-03-02.*GROWTH"):
        SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(SECOND, SECOND))
    assert _clients(warehouse) == 5
    # Nor does another feed add them through the roster that it needs.
    with pytest.raises(SyncError, match="LCM_GROWTH_FUSE"):
        SyncEngine(settings, warehouse).sync(LEADS, Window(SECOND, SECOND))
    assert _clients(warehouse) == 5
    permissive = _settings(young, warehouse, tmp_path, growth_fuse=0)
    SyncEngine(permissive, warehouse).sync(REGISTRATIONS, Window(SECOND, SECOND))
    assert _clients(warehouse) == 10_055


@pytest.mark.slow
def test_first_syncs_and_backfills_do_not_count_as_sudden_growth(
    young: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    _register(young, THIRD, 1, 10_050)
    settings = _settings(young, warehouse, tmp_path)
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(THIRD, THIRD))
    assert _clients(warehouse) == 10_050
    for number, day in enumerate((OPENING, SECOND), start=1):
        _register(young, day, number * 100_000, 9_000)
    strict = _settings(young, warehouse, tmp_path, growth_fuse=0.5)
    SyncEngine(strict, warehouse).sync(REGISTRATIONS, Window(OPENING, THIRD))
    assert _clients(warehouse) == 28_050


def test_days_polled_before_may_add_only_a_few_clients_together(
    young: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    _register(young, OPENING, 1, 5)
    settings = _settings(young, warehouse, tmp_path)
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(OPENING, THIRD))
    for number, day in enumerate((OPENING, SECOND, THIRD), start=1):
        _register(young, day, number * 100_000, 4_000)
    with pytest.raises(SyncError, match="12,000 new clients registered on days that were polled"):
        SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(OPENING, THIRD))
    assert _clients(warehouse) == 5


def test_a_day_that_lost_most_of_its_registrations_stops_the_publish(
    young: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """The day is less than LCM_DELETE_FUSE of all that the publish covers."""
    _register(young, OPENING, 1, 1_000)
    _register(young, SECOND, 1_001, 21)
    _register(young, THIRD, 2_001, 10)
    settings = _settings(young, warehouse, tmp_path)
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(OPENING, THIRD))
    shelf = young.world.programme.registrations
    before = _registered(warehouse)
    with young.world.lock:
        for entry in [entry for entry in shelf if entry.row["Client"] > 1_000]:
            shelf.remove(entry)
    with pytest.raises(SyncError, match=r"21 of 21 rows of 2026-03-02.*50\.0% of a day.*1\.00"):
        SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(OPENING, THIRD))
    assert _registered(warehouse) == before
    # An operator who knows that it is correct raises the fuse. Ten rows may always be deleted.
    permissive = _settings(young, warehouse, tmp_path, delete_fuse=1)
    SyncEngine(permissive, warehouse).sync(REGISTRATIONS, Window(OPENING, THIRD))
    assert _registered(warehouse) == {OPENING: 1_000}


def test_absurd_months_get_no_partitions(warehouse: Warehouse) -> None:
    months = [date(year, month, 1) for year in range(1600, 2017) for month in range(1, 13)]
    with warehouse.connect(autocommit=True) as session:
        before = _tables(warehouse)
        with pytest.raises(MonthsRefusedError, match=r"core.operations: .*1600-01 and 4,799 other"):
            ensure_partitions(session, "core", "operations", months)
        with pytest.raises(MonthsRefusedError, match="9999-12"):
            ensure_partitions(session, "core", "operations", [date(9999, 12, 31)])
        assert _tables(warehouse) == before
        assert ensure_partitions(session, "core", "operations", [date(2000, 1, 1)])
        # An existing partition of an older version is accepted.
        session.execute("create table core.operations_190001 (like core.operations)")
        session.execute(
            "alter table core.operations attach partition core.operations_190001"
            " for values from ('1900-01-01') to ('1900-02-01')"
        )
        assert ensure_partitions(session, "core", "operations", [date(1900, 1, 1)]) == []


def test_staged_rows_of_absurd_months_stop_the_publish_and_are_named(
    warehouse: Warehouse,
) -> None:
    """An older version may have staged them before an update, and its run was taken over."""
    with ReconnectingSession(warehouse, "test") as reconnecting:
        run = begin_run(reconnecting, "leads", Window(OPENING, OPENING), Pseudonyms())
        reconnecting.run(lambda session: make_staging(session, run, (leads,)))
        claimed = reconnecting.run(lambda session: claim_clients(session, run, [7]))
        outcome = _staged(claimed[7], date(1753, 1, 1), date(2999, 1, 1))
        reconnecting.run(lambda session: tasks.record_outcomes(session, run, (leads,), [outcome]))
        with pytest.raises(
            PublishRefusedError, match=r"leads: .*1753-01 and 1 other month,.*same comm"
        ):
            reconnecting.run(
                lambda session: publish(session, run, (leads,), delete_fuse=1, growth_fuse=0)
            )
    tables = {name for name in _tables(warehouse) if not name.startswith("pg_")}
    assert not {name for name in tables if "1753" in name or "2999" in name}


def _registered(warehouse: Warehouse) -> dict[date, int]:
    with warehouse.connect() as session:
        return dict(
            session.execute(
                "select registration_date, count(*) from core.registrations"
                " where deleted_at is null group by 1"
            ).fetchall()
        )


def _staged(task: Task, *days: date) -> Outcome:
    records = [
        tuple(
            {"lead_date": day, "client_id": 7, "lead_id": number, "created_at": datetime.now(UTC)}
            .get(name)
            for name in leads.staging_columns
        )
        for number, day in enumerate(days)
    ]  # fmt: skip
    return Outcome(
        task,
        "done",
        datetime.now(UTC),
        StagedRows({leads.name: records}),
        reading="full",
        source_total=len(records),
        fingerprint=b"x",
    )


def _tables(warehouse: Warehouse) -> set[str]:
    with warehouse.connect() as session:
        return {n for (n,) in session.execute("select relname from pg_class").fetchall()}
