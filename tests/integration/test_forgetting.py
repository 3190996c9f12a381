"""Erasing one person: no trace in a dump, totals are kept, and no sync restores the person."""

import hashlib
import hmac
import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import pytest

from lcm_pipeline.feeds import CLIENT_FEEDS, REGISTRATIONS, feed_named
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.forgotten import ForgottenKeyError
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest import tasks
from lcm_pipeline.warehouse.ingest.resets import reset_clients, reset_days
from lcm_pipeline.warehouse.ingest.tasks import probe_clients
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.privacy.client_rows import OtherTablesError
from lcm_pipeline.warehouse.privacy.expiration import expire
from lcm_pipeline.warehouse.privacy.forgetting import (
    Receipt,
    forget,
    refresh_marts_of_clients,
    require_no_other_rows,
)
from lcm_pipeline.warehouse.privacy.rewriting import BusyError
from lcm_pipeline.warehouse.queries import migration_files
from lcm_pipeline.warehouse.status import read_overview
from tests.commands import run
from tests.conftest import MakeSettings, Programme
from tests.databases import cut, dump, fetch_value
from tests.marts.life import assert_as_if_computed_anew
from tests.reconciling import totals_differing
from tests.syncing import FEEDS, MARCH, MARCH_OPTIONS, sync_everything

KEY = b"a key of sixteen bytes or more"


def erase(warehouse: Warehouse, client: int, keys: Sequence[bytes] = (KEY,)) -> Receipt:
    """What the command does."""
    receipt = forget(warehouse, client, keys, Pseudonyms())
    refresh_marts_of_clients(warehouse)
    return receipt


SUMS = {
    "sales": "select sum(net_sales) from mart.store_daily",
    "members": "select count(*) from mart.members",
    "owed": "select sum(outstanding_points) from mart.points_liability_daily",
    "leads": "select sum(leads) from mart.leads_daily",
}


@pytest.fixture
def person(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> tuple[RunningSimulator, int]:
    """A synced programme, and a client with rows of all kinds and a profile update."""
    source = programme(clients=12, habits=("bad_rows=0.05", "leads_daily=0.3", "merged_daily=0"))
    settings = make_settings(source, warehouse, delete_fuse=1.0)
    sync_everything(settings, warehouse)
    with warehouse.connect() as session:
        row = session.execute(
            "select operations.client_id from core.operations"
            " join core.leads using (client_id) join core.cards using (client_id)"
            " group by 1 order by count(*) desc limit 1"
        ).fetchone()
        assert row is not None
        session.execute(
            "insert into outbox.profile_updates (client_id, name, email)"
            " values (%s, 'Анна', 'anna@example.ru')",
            row,
        )
        session.execute("update core.leads set subject = 'звоните анне' where client_id = %s", row)
    source.world.mutate("insert_top", row[0])
    sync_everything(settings, warehouse)
    refresh_marts(warehouse)
    return source, row[0]


def test_no_personal_data_is_left_and_totals_are_kept(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    with warehouse.connect() as session:
        cards = [row[0] for row in session.execute(
            "select unnest(array[card_number, out_number]) from core.cards where client_id = %s",
            (client,),
        ).fetchall()]  # fmt: skip
        phone = session.execute(
            "select phone from core.clients where client_id = %s", (client,)
        ).fetchone()
    assert None not in cards
    before = {name: fetch_value(warehouse, statement) for name, statement in SUMS.items()}
    overview = {feed.feed: feed.rows for feed in read_overview(warehouse)}
    receipt = erase(warehouse, client)
    assert {feed.feed: feed.rows for feed in read_overview(warehouse)} == overview
    assert overview["registrations"] == fetch_value(
        warehouse, "select count(*) from core.registrations where deleted_at is null"
    )
    assert {name: fetch_value(warehouse, statement) for name, statement in SUMS.items()} == before
    left = dump(warehouse)
    personal = [str(client), *map(str, cards), "Анна", "anna@", "звоните"]
    personal += [str(phone[0])] if phone and phone[0] else []
    assert [value for value in personal if value in left] == []
    for feed in FEEDS:
        assert totals_differing(warehouse, feed_named(feed)).listed == []
    assert receipt.kept_without_person["core.operations"] > 0
    assert receipt.deleted["outbox.profile_updates"] == 1
    signed = msgspec.json.encode(
        {name: value for name, value in vars(receipt).items() if name != "signature"},
        order="sorted",
    )
    assert receipt.signature == hmac.digest(KEY, signed, hashlib.sha256).hex()


def test_an_update_erases_printed_numbers_of_persons_who_were_erased_before(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    erase(warehouse, person[1])
    others = fetch_value(warehouse, "select count(*) from core.cards where out_number > 0")
    [migration] = [path for path in migration_files() if path.name.startswith("0049_")]
    with warehouse.connect() as session:
        session.execute("update core.cards set out_number = 4 where client_id < 0")
        session.execute(migration.read_bytes())
    left = "select count(*) from core.cards where client_id < 0 and out_number is not null"
    assert fetch_value(warehouse, left) == 0
    assert fetch_value(warehouse, "select count(*) from core.cards where out_number > 0") == others


def test_numbers_are_masked_in_quarantined_rows_that_name_no_client(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    card = fetch_value(
        warehouse, f"select min(card_number) from core.cards where client_id = {client}"
    )
    other = fetch_value(
        warehouse, f"select min(card_number) from core.cards where client_id <> {client}"
    )
    with warehouse.connect() as session:
        session.execute(
            "insert into sync.quarantine (feed, row_digest, table_name, reason, raw, sync_run_id)"
            " select 'registrations', '\\x00', 'registrations', 'no Client', %s, max(run_id)"
            " from sync.runs",
            (f'{{"Client": null, "Card": {card}, "Next": {other}}}',),
        )
    erase(warehouse, client)
    assert str(card) not in dump(warehouse)
    raw = fetch_value(warehouse, "select raw from sync.quarantine where reason = 'no Client'")
    assert raw == f'{{"Client": null, "Card": [number], "Next": {other}}}'


@pytest.mark.slow
def test_a_month_that_a_reader_keeps_from_being_removed_is_erased_too(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    with warehouse.connect() as reader:
        for table in ("operations", "leads"):
            reader.execute(f"select from core.{table}_202603".encode())
        left = expire(warehouse, 1, ZoneInfo("UTC"), datetime(2026, 6, 6, tzinfo=UTC)).left
        assert {"core.operations_202603", "core.leads_202603"} <= {rows.table for rows in left}
        receipt = erase(warehouse, client)
    assert receipt.deleted["core.operations_202603"] > 0
    assert str(client) not in dump(warehouse)
    assert "звоните" not in dump(warehouse)


def test_a_reset_does_not_count_the_person(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    """The number that replaces the person is never read again."""
    names = [feed.name for feed in CLIENT_FEEDS]
    with warehouse.connect() as session:
        before = reset_clients(session, names, None)
    erase(warehouse, person[1])
    with warehouse.connect() as session:
        assert reset_clients(session, names, None) == before - 1


def test_the_marts_equal_a_full_computation(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    erase(warehouse, person[1])
    assert_as_if_computed_anew(warehouse, "after a person was erased")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("keys", [[KEY], []], ids=["of the settings", "of the warehouse"])
def test_no_sync_brings_the_person_back(
    person: tuple[RunningSimulator, int],
    warehouse: Warehouse,
    make_settings: MakeSettings,
    keys: list[bytes],
) -> None:
    source, client = person
    erase(warehouse, client, keys)
    fields = {"pseudonym_key": KEY.decode()} if keys else {}
    settings = make_settings(source, warehouse, audit_share=1.0, **fields)
    members = fetch_value(warehouse, "select count(*) from core.clients")
    reports = sync_everything(settings, warehouse)
    assert all(report.pending == 0 for report in reports.values())
    assert fetch_value(warehouse, "select count(*) from core.clients") == members
    refresh_marts(warehouse)
    assert str(client) not in dump(warehouse)
    for feed in FEEDS:
        assert totals_differing(warehouse, feed_named(feed)).listed == []


def test_a_sync_that_loses_its_connection_during_the_erasure_stores_no_row_of_the_person(
    person: tuple[RunningSimulator, int],
    warehouse: Warehouse,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A day is read with the person's registration, and is not staged yet."""
    source, client = person
    settings = make_settings(source, warehouse)
    with warehouse.connect() as session:
        reset_days(session)
    record = tasks.record_outcomes
    erased: list[Receipt] = []

    def record_late(session: psycopg.Connection, *values: Any) -> Any:
        if not erased:
            cut(warehouse, session.info.backend_pid)
            erased.append(forget(warehouse, client, [], Pseudonyms()))
        return record(session, *values)

    monkeypatch.setattr(tasks, "record_outcomes", record_late)
    with pytest.raises(SyncError, match="a person was erased"):
        SyncEngine(settings, warehouse).sync(REGISTRATIONS, MARCH)
    assert erased
    sync_everything(settings, warehouse)
    refresh_marts(warehouse)
    assert str(client) not in dump(warehouse)


def test_rows_that_came_after_the_erasure_are_erased_too(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    receipt = erase(warehouse, client)
    assert forget(warehouse, client, [KEY], Pseudonyms()) == receipt
    with warehouse.connect() as session:
        session.execute(
            "insert into outbox.profile_updates (client_id, name) values (%s, 'Анна')", (client,)
        )
    assert forget(warehouse, client, [KEY], Pseudonyms()).deleted == {"outbox.profile_updates": 1}
    assert "Анна" not in dump(warehouse)


def test_tables_of_others_are_left_and_named(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    with warehouse.connect() as session:
        session.execute("create table history.cards_of_march as select * from core.cards")
        session.execute("create table mart.targets as select 1 as client_id")
        session.execute("create table mart.letters as select 'x' as client_id")
        session.execute(
            "create materialized view mart.later as select client_id from core.cards with no data"
        )
        session.execute(
            "create materialized view mart.buyers as select distinct client_id from core.operations"
        )
    receipt = erase(warehouse, client)
    assert receipt.kept_without_person["core.cards"] > 0
    assert "history.cards_of_march" not in receipt.kept_without_person
    with pytest.raises(OtherTablesError, match=r": history\.cards_of_march, mart\.buyers\. "):
        require_no_other_rows(warehouse, client)
    with warehouse.connect() as session:
        session.execute("delete from history.cards_of_march where client_id = %s", (client,))
        session.execute("refresh materialized view mart.buyers")
        session.execute("drop materialized view mart.later")
    require_no_other_rows(warehouse, client)
    assert str(client) not in dump(warehouse)


def test_nothing_is_erased_while_a_table_of_others_refers_to_the_client(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    with warehouse.connect() as session:
        session.execute("create table mart.vip (client_id bigint references core.clients)")
        session.execute("insert into mart.vip values (%s)", (client,))
    with pytest.raises(UsageError, match=r"nothing was erased: mart\.vip, .* vip_client_id_fkey"):
        forget(warehouse, client, [KEY], Pseudonyms())
    with warehouse.connect() as session:
        session.execute("delete from mart.vip")
    assert forget(warehouse, client, [KEY], Pseudonyms()).kept_without_person


def test_no_request_names_the_stand_in_of_an_erased_person(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=2)
    sync_everything(make_settings(source, warehouse), warehouse)
    for client in source.world.programme.customers:
        forget(warehouse, client, [KEY], Pseudonyms())
    with warehouse.connect() as session:
        assert probe_clients(session) == []


def test_without_the_key_nothing_is_synced(
    person: tuple[RunningSimulator, int], warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source, client = person
    forget(warehouse, client, [KEY], Pseudonyms())
    for other in ({}, {"pseudonym_key": "another key of sixteen bytes"}):
        with pytest.raises(ForgottenKeyError, match="LCM_PSEUDONYM_KEY"):
            sync_everything(make_settings(source, warehouse, **other), warehouse)


@pytest.mark.slow
def test_erasure_is_refused_during_a_sync_or_push(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    held: tuple[tuple[locks.Kind, int], ...] = (("run", 7), ("push", 1))
    for kind, lock_id in held:
        with warehouse.connect(autocommit=True) as session:
            locks.acquire_session_lock(session, kind, lock_id)
            with pytest.raises(BusyError, match="under way"):
                forget(warehouse, person[1], [KEY], Pseudonyms())
    assert forget(warehouse, person[1], [KEY], Pseudonyms()).deleted


def test_a_session_that_ends_a_moment_after_its_sync_does_not_refuse_the_erasure(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    with warehouse.connect(autocommit=True) as session:
        locks.acquire_session_lock(session, "run", 7)
        ending = threading.Timer(0.3, session.close)
        ending.start()
        assert forget(warehouse, person[1], [KEY], Pseudonyms()).deleted
        ending.join()


@pytest.mark.slow
def test_the_command_confirms_signs_its_counts_and_recognises_erased_clients(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=5)
    variables = {
        "LCM_API_URL": source.url,
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_PSEUDONYM_KEY": KEY.decode(),
    }
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 0
    client = str(min(source.world.programme.customers))
    unsure = run(tmp_path, "forget", client, **variables)
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    done = run(tmp_path, "forget", "--yes", "--json", client, **variables)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) >= {"client_hash", "signature", "deleted"}
    leads = f"select count(*) from mart.leads_sla where client_id = {client}"
    assert fetch_value(warehouse, leads) == 0
    again = run(tmp_path, "forget", "--yes", "--json", client, **variables)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "was erased already, on 20" in again.stderr
    with warehouse.connect() as session:
        session.execute("update sync.forgotten_clients set receipt = null")
    older = run(tmp_path, "forget", "--yes", client, **variables)
    assert (older.returncode, "was erased already, on 20" in older.stderr) == (2, True)
    # Killed after the commit, before it could print anything or refresh a mart.
    lost = str(sorted(source.world.programme.customers)[1])
    receipt = forget(warehouse, int(lost), [KEY], Pseudonyms((KEY,)))
    listed = f"select count(*) from mart.leads_sla where client_id = {lost}"
    assert fetch_value(warehouse, listed)
    resumed = run(tmp_path, "forget", "--yes", "--json", lost, **variables)
    assert (resumed.returncode, json.loads(resumed.stdout)) == (0, vars(receipt)), resumed.stderr
    assert fetch_value(warehouse, listed) == 0
    with warehouse.connect() as session:
        session.execute(f"create table mart.targets as select {lost} as client_id")
    listing = run(tmp_path, "forget", "--yes", "--json", lost, **variables)
    assert (listing.returncode, json.loads(listing.stdout)) == (3, vars(receipt)), listing.stderr
    assert "not its own: mart.targets" in listing.stderr
    other = run(tmp_path, "forget", "--yes", "42", **variables)
    assert (other.returncode, "is not known" in other.stderr) == (2, True)
    with warehouse.connect() as session:
        session.execute("alter materialized view mart.data_completeness rename to renamed")
    last = str(max(source.world.programme.customers))
    stale = run(tmp_path, "forget", "--yes", "--json", last, **variables)
    assert (stale.returncode, "run lcm marts" in stale.stderr) == (3, True), stale.stderr
    assert json.loads(stale.stdout)["signature"]
    short = run(tmp_path, "forget", "--yes", client, **variables | {"LCM_PSEUDONYM_KEY": "short"})
    assert short.returncode == 2
    assert "LCM_PSEUDONYM_KEY" in short.stderr
