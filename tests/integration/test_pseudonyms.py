"""LCM_PSEUDONYM_KEY: phones and cards are keyed hashes, joins and later syncs stay exact."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.rows import dict_row

from lcm_pipeline import feeds
from lcm_pipeline.feeds import OPERATIONS, feed_named
from lcm_pipeline.model.pseudonyms import LARGEST_HASH, PseudonymKeyError, Pseudonyms
from lcm_pipeline.model.tasks import Outcome
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.verify.verify import verify_clients
from lcm_pipeline.warehouse import lock_waits
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest.runs import begin_run
from lcm_pipeline.warehouse.ingest.staging import make_staging
from lcm_pipeline.warehouse.ingest.tasks import record_outcomes
from lcm_pipeline.warehouse.partitions import ensure_partitions
from lcm_pipeline.warehouse.privacy import pseudonymizing
from lcm_pipeline.warehouse.privacy.expiration import expire
from lcm_pipeline.warehouse.privacy.forgetting import forget
from lcm_pipeline.warehouse.privacy.keys import require_pseudonyms
from lcm_pipeline.warehouse.privacy.pseudonymizing import use_keys
from lcm_pipeline.warehouse.privacy.rewriting import BusyError, one_rewrite_at_a_time, require_quiet
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.commands import run
from tests.conftest import MakeSettings, Programme
from tests.databases import backend_of, cut, dump, fetch_value
from tests.ledger import claim_clients
from tests.outbox import ask_for, statuses, write_back
from tests.reconciling import totals_differing
from tests.syncing import FEEDS, MARCH, MARCH_OPTIONS, sync_everything
from tests.waiting import PATIENCE, wait_for

KEY, NEXT_KEY = "a key of sixteen bytes or more", "another key as long as that one"


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    return programme(clients=12, habits=("bad_rows=0.05", "merged_daily=0.05"))


def numbers_of(source: RunningSimulator) -> set[str]:
    """Every phone and card that the source has, as text."""
    phones = {str(row["Phone"]) for row in source.world.profile_rows() if row["Phone"]}
    cards = {
        str(number)
        for customer in source.world.programme.customers.values()
        for card in customer.cards
        for number in (card, card // 10)
    }
    return phones | cards


def keyed(
    source: RunningSimulator, warehouse: Warehouse, make: MakeSettings, *keys: str
) -> Settings:
    """Settings with keys, oldest first, of a sync that reads everybody in full."""
    fields = {"audit_share": 1.0, "delete_fuse": 1.0}
    if keys:
        fields |= {"pseudonym_key": keys[-1]}
    if keys[1:]:
        fields |= {"pseudonym_old_keys": ",".join(keys[:-1])}
    return make(source, warehouse, **fields)


def stored(warehouse: Warehouse, table: str) -> list[dict[str, object]]:
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"select * from {table} order by 1, 2, 3".encode()).fetchall()


def found(warehouse: Warehouse, source: RunningSimulator) -> list[str]:
    left = dump(warehouse)
    return [number for number in numbers_of(source) if number in left]


def test_no_phone_and_no_card_is_stored_and_joins_work(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = keyed(source, warehouse, make_settings, KEY)
    sync_everything(settings, warehouse)
    assert found(warehouse, source) == []
    assert fetch_value(warehouse, "select count(*) from sync.quarantine") > 0  # type: ignore[operator]
    hashed = Pseudonyms((KEY.encode(),))
    row = next(row for row in source.world.profile_rows() if row["Phone"])
    phone = fetch_value(
        warehouse, f"select phone from core.clients where client_id = {row['Client']}"
    )
    assert phone == hashed.phone(row["Phone"])
    assert isinstance(phone, int)
    assert phone <= LARGEST_HASH
    alone = "select count(*) from core.registrations where not exists (select from core.cards where"
    assert fetch_value(warehouse, f"{alone} cards.card_number = registrations.card_number)") == 0
    for feed in FEEDS:
        assert totals_differing(warehouse, feed_named(feed)).listed == []
    assert verify_clients(settings, warehouse, None).is_clean


@pytest.mark.slow
def test_a_key_that_is_added_and_one_that_is_changed_make_no_version_of_a_row(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    sync_everything(keyed(source, warehouse, make_settings), warehouse)
    assert found(warehouse, source)
    for keys in ((KEY,), (KEY, NEXT_KEY)):
        settings = keyed(source, warehouse, make_settings, *keys)
        assert use_keys(warehouse, settings) == 1
        assert found(warehouse, source) == []
        before = {
            table: stored(warehouse, table)
            for table in ("core.clients", "core.cards", "core.registrations", "history.clients")
        }
        open_rows = fetch_value(
            warehouse, "select count(*) from sync.quarantine where resolved_at is null"
        )
        reports = sync_everything(settings, warehouse)
        assert {feed: report.rows_written for feed, report in reports.items()} == dict.fromkeys(
            FEEDS, 0
        )
        for table, rows in before.items():
            assert stored(warehouse, table) == rows, table
        assert open_rows == fetch_value(
            warehouse, "select count(*) from sync.quarantine where resolved_at is null"
        )
        assert found(warehouse, source) == []
        assert verify_clients(settings, warehouse, None).is_clean
    # Both keys at once, on numbers as they came, make the same.
    row = next(row for row in source.world.profile_rows() if row["Phone"])
    both = Pseudonyms((KEY.encode(), NEXT_KEY.encode()))
    phone = fetch_value(
        warehouse, f"select phone from core.clients where client_id = {row['Client']}"
    )
    assert phone == both.phone(row["Phone"])


def test_a_rewriting_that_was_broken_off_goes_on_where_it_was(
    source: RunningSimulator,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sync_everything(keyed(source, warehouse, make_settings), warehouse)
    monkeypatch.setattr(pseudonymizing, "_CLIENTS_AT_ONCE", 3)
    settings = keyed(source, warehouse, make_settings, KEY)
    rewrite, calls = pseudonymizing._rewrite_clients, iter(range(100))

    def break_off(*values: object) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        rewrite(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(pseudonymizing, "_rewrite_clients", break_off)
    with pytest.raises(KeyboardInterrupt):
        use_keys(warehouse, settings)
    assert use_keys(warehouse, settings) == 1
    assert use_keys(warehouse, settings) == 0
    row = next(row for row in source.world.profile_rows() if row["Phone"])
    phone = fetch_value(
        warehouse, f"select phone from core.clients where client_id = {row['Client']}"
    )
    assert phone == Pseudonyms((KEY.encode(),)).phone(row["Phone"])
    assert sync_everything(settings, warehouse)["registrations"].rows_written == 0
    assert found(warehouse, source) == []


def test_what_was_staged_with_another_key_is_read_again(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    raw = SyncEngine(keyed(source, warehouse, make_settings), warehouse)
    raw.sync(feeds.REGISTRATIONS, MARCH)
    raw.start(feeds.OPERATIONS, MARCH)
    raw.read(feeds.OPERATIONS, MARCH)
    settings = keyed(source, warehouse, make_settings, KEY)
    SyncEngine(settings, warehouse).publish(feeds.OPERATIONS, MARCH)
    assert found(warehouse, source) == []
    assert totals_differing(warehouse, OPERATIONS).listed == []


def test_no_run_with_raw_numbers_begins_beside_a_new_key(
    source: RunningSimulator,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sync_everything(keyed(source, warehouse, make_settings), warehouse)
    with ReconnectingSession(warehouse, "lcm sync operations") as syncing:

        def begin_afterwards(session: Session) -> None:
            monkeypatch.undo()
            require_quiet(session)
            begin_run(syncing, "operations", MARCH, Pseudonyms())

        monkeypatch.setattr(pseudonymizing, "require_quiet", begin_afterwards)
        with pytest.raises(BusyError):
            use_keys(warehouse, keyed(source, warehouse, make_settings, KEY))
    assert fetch_value(warehouse, "select count(*) from sync.pseudonym_keys") == 0
    # The other way round, the run waits for the key.
    with warehouse.connect() as beginning, warehouse.connect(autocommit=True) as session:
        values = {"key_number": 1, "key_digest": b"", "is_complete": False}
        beginning.execute(query("begin_pseudonym_key"), values)
        session.execute("set lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            require_pseudonyms(session, Pseudonyms(), is_run=True)
        beginning.rollback()
        require_pseudonyms(session, Pseudonyms(), is_run=True)


def test_a_run_that_loses_its_session_while_a_key_begins_stages_no_raw_number(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    sync_everything(keyed(source, warehouse, make_settings), warehouse)
    tables = feeds.OPERATIONS.tables
    with ReconnectingSession(warehouse, "lcm sync operations") as reading:
        raw = begin_run(reading, "operations", MARCH, Pseudonyms())
        reading.run(lambda session: make_staging(session, raw, tables))
        (task,) = reading.run(lambda session: claim_clients(session, raw, [1001])).values()
        cut(warehouse, backend_of(reading))
        assert use_keys(warehouse, keyed(source, warehouse, make_settings, KEY)) == 1
        outcome = Outcome(task, "done", datetime.now(UTC))
        with pytest.raises(PseudonymKeyError):
            reading.run(lambda session: record_outcomes(session, raw, tables, [outcome]))
    assert fetch_value(warehouse, "select count(*) from sync.fetches where status = 'done'") == 0
    # With the key the same run goes on.
    engine = SyncEngine(keyed(source, warehouse, make_settings, KEY), warehouse)
    assert engine.sync(feeds.OPERATIONS, MARCH).is_resumed
    assert found(warehouse, source) == []


def test_a_second_rewrite_waits_for_the_first_and_says_for_whom(
    source: RunningSimulator,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sync_everything(keyed(source, warehouse, make_settings), warehouse)
    settings = keyed(source, warehouse, make_settings, KEY)
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(lock_waits, "_CHECK_AFTER_SECONDS", 0.2)
    rewrite, has_begun, may_end = pseudonymizing._rewrite_clients, *two_events()

    def rewrite_slowly(*values: object) -> None:
        has_begun.set()
        assert may_end.wait(PATIENCE)
        rewrite(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(pseudonymizing, "_rewrite_clients", rewrite_slowly)
    client = min(source.world.programme.customers)
    second: list[Callable[[], object]] = [
        lambda: use_keys(warehouse, settings),
        lambda: forget(warehouse, client, [KEY.encode()], settings.pseudonyms).kept_without_person,
    ]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(use_keys, warehouse, settings)
        assert has_begun.wait(PATIENCE)
        waiting = [pool.submit(work) for work in second]
        wait_for(lambda: caplog.text.count("application lcm pseudonymize") == 2)
        may_end.set()
        assert first.result() == 1
        assert waiting[0].result() == 0
        assert waiting[1].result()
    assert found(warehouse, source) == []


def test_a_rewrite_releases_its_locks_while_its_session_is_open(warehouse: Warehouse) -> None:
    held = b"select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    with warehouse.connect(autocommit=True) as session:
        with one_rewrite_at_a_time(session, "lcm test"):
            require_quiet(session)
            assert session.execute(held).fetchone() == (2,)
        assert session.execute(held).fetchone() == (0,)


def two_events() -> tuple[threading.Event, threading.Event]:
    return threading.Event(), threading.Event()


def test_the_stand_ins_of_an_erased_persons_cards_are_not_hashed(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    sync_everything(keyed(source, warehouse, make_settings), warehouse)
    forget(warehouse, min(source.world.programme.customers), [KEY.encode()], Pseudonyms())
    stand_ins = "select array_agg(card_number order by 1) from core.{} where card_number < 0"
    before = {
        table: fetch_value(warehouse, stand_ins.format(table))
        for table in ("cards", "registrations")
    }
    assert all(before.values())
    assert use_keys(warehouse, keyed(source, warehouse, make_settings, KEY)) == 1
    above = f" and card_number > {LARGEST_HASH}"
    assert before == {
        table: fetch_value(warehouse, stand_ins.format(table) + above) for table in before
    }


def test_a_member_of_the_loader_may_hash_what_the_owner_has_stored_and_staged(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    raw = SyncEngine(keyed(source, warehouse, make_settings), warehouse)
    raw.sync(feeds.REGISTRATIONS, MARCH)
    raw.start(feeds.OPERATIONS, MARCH)
    raw.read(feeds.OPERATIONS, MARCH)
    with warehouse.connect(autocommit=True) as session:
        session.execute("set role lcm_loader")
        pseudonymizing._rewrite(session, Pseudonyms((KEY.encode(),)), 1)
    assert found(warehouse, source) == []


@pytest.mark.slow
def test_a_month_that_a_reader_keeps_from_being_removed_holds_no_phone(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    sync_everything(keyed(source, warehouse, make_settings), warehouse)
    version = "2024-03-02 12:00 +0"
    with warehouse.connect(autocommit=True) as session:
        ensure_partitions(session, "history", "clients", [date(2024, 3, 1)])
        session.execute(
            "insert into history.clients (client_id, phone, extra, valid_from, valid_to)"
            " select client_id, phone, jsonb_build_object('Tel', phone), %s::timestamptz, %s"
            " from core.clients",
            (version, version),
        )
    with warehouse.connect() as reader:
        reader.execute("select from history.clients_202403")
        left = expire(warehouse, 1, ZoneInfo("UTC"), datetime(2024, 6, 6, tzinfo=UTC)).left
        assert "history.clients_202403" in {rows.table for rows in left}
        assert use_keys(warehouse, keyed(source, warehouse, make_settings, KEY)) == 1
        assert found(warehouse, source) == []


def test_another_key_or_none_changes_nothing(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    sync_everything(keyed(source, warehouse, make_settings, KEY), warehouse)
    before = dump(warehouse)
    for keys in ((), (NEXT_KEY,), (NEXT_KEY, KEY)):
        with pytest.raises(PseudonymKeyError, match="LCM_PSEUDONYM_KEY"):
            sync_everything(keyed(source, warehouse, make_settings, *keys), warehouse)
    assert dump(warehouse) == before


def test_a_push_sends_the_phone_that_was_asked_for(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = keyed(source, warehouse, make_settings, KEY)
    sync_everything(settings, warehouse)
    client = next(row["Client"] for row in source.world.profile_rows() if row["Phone"])
    ask_for(warehouse, [(client, {"phone": 9_161_234_567})])
    write_back(settings, warehouse).push()
    assert statuses(warehouse) == ["sent"]
    sent = [one["Phone"] for one in source.world.profiles.updates if one["Client"] == client]
    assert sent == [9_161_234_567]
    # What was known before is a hash, which nobody could send back.
    known = fetch_value(warehouse, "select known_before from outbox.profile_updates")
    assert known == {}


@pytest.mark.slow
def test_the_commands_refuse_a_wrong_key_with_2_and_never_show_it(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=4)
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    unset = run(tmp_path, "pseudonymize", **variables)
    assert (unset.returncode, "LCM_PSEUDONYM_KEY" in unset.stderr) == (2, True)
    keys = {"LCM_PSEUDONYM_KEY": KEY}
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables, **keys).returncode == 0
    assert found(warehouse, source) == []
    wrong = run(tmp_path, "sync", *MARCH_OPTIONS, **variables, LCM_PSEUDONYM_KEY=NEXT_KEY)
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
    assert "LCM_PSEUDONYM_OLD_KEYS" in wrong.stderr
    for command in (("verify",), ("forget", "1001", "--yes")):
        refused = run(tmp_path, *command, **variables, LCM_PSEUDONYM_KEY=NEXT_KEY)
        assert (refused.returncode, "LCM_PSEUDONYM_OLD_KEYS" in refused.stderr) == (2, True)
    missing = run(tmp_path, "sync", *MARCH_OPTIONS, **variables)
    assert (missing.returncode, "LCM_PSEUDONYM_KEY" in missing.stderr) == (2, True)
    looked = run(tmp_path, "doctor", **variables, LCM_PSEUDONYM_KEY=NEXT_KEY)
    assert "LCM_PSEUDONYM_KEY is not the key" in looked.stdout
    chain = {"LCM_PSEUDONYM_KEY": NEXT_KEY, "LCM_PSEUDONYM_OLD_KEYS": KEY}
    changed = run(tmp_path, "pseudonymize", **variables, **chain)
    assert (changed.returncode, "with 1 key" in changed.stdout) == (0, True), changed.stderr
    looked = run(tmp_path, "doctor", **variables, **chain)
    assert "is that of the warehouse, after 1 older" in looked.stdout
    assert KEY not in "".join(one.stdout + one.stderr for one in (unset, wrong, missing, changed))
