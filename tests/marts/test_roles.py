"""The rights of the roles: each role logs in and tries what it must not do."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.outbox.state import read_outbox
from lcm_pipeline.warehouse.partitions import ensure_partitions
from tests.conftest import MakeSettings, Programme
from tests.marts.comparing import read_mart
from tests.marts.worlds import Synced
from tests.outbox import ask_for, enrol, write_back
from tests.syncing import sync_everything

READS = {
    "lcm_loader": {"core", "core_live", "history", "mart", "sync", "outbox"},
    "lcm_analyst": {"core", "core_live", "history", "mart"},
    "lcm_bi": {"mart"},
}
SAMPLES = {
    "core": "core.clients",
    "core_live": "core_live.clients",
    "history": "history.operations",
    "mart": "mart.program_daily",
    "sync": "sync.quarantine",
    "outbox": "outbox.profile_updates",
}


@contextmanager
def _logged_in(warehouse: Warehouse, role: str) -> Iterator[psycopg.Connection]:
    """A session logged in as the role, which may log in only for the context."""
    with warehouse.connect(autocommit=True) as owner:
        owner.execute(SQL("alter role {} login").format(Identifier(role)))
        parts = urlsplit(warehouse.url)
        host = parts.netloc.rpartition("@")[2]
        url = parts._replace(netloc=f"{role}@{host}").geturl()
        try:
            with psycopg.connect(url, autocommit=True) as session:
                yield session
        finally:
            owner.execute(SQL("alter role {} nologin").format(Identifier(role)))


@pytest.mark.parametrize("role", READS)
def test_a_role_can_read_its_schemas_and_nothing_else(role: str, by_hand: Synced) -> None:
    with _logged_in(by_hand.warehouse, role) as session:
        for schema, table in SAMPLES.items():
            reading = f"select count(*) from {table}"
            if schema in READS[role]:
                session.execute(reading.encode())
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(reading.encode())


@pytest.mark.parametrize("role", ["lcm_analyst", "lcm_bi"])
@pytest.mark.parametrize(
    "statement",
    [
        "delete from core.clients",
        "update mart.parameters set point_value = 0",
        "insert into mart.rfm_segments (priority, segment, segment_ru) values (99, '', '')",
        "create table mart.mine (id int)",
        "create view mart.mine as select 1 as one",
        "insert into outbox.profile_updates (client_id) values (1)",
        "select * from public.lcm_migrations",
    ],
)
def test_readers_cannot_write(role: str, statement: str, by_hand: Synced) -> None:
    with (
        _logged_in(by_hand.warehouse, role) as session,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        session.execute(statement.encode())


@pytest.mark.parametrize("role", ["lcm_analyst", "lcm_bi"])
def test_readers_see_nothing_of_the_outbox_now_or_later(role: str, warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as owner:
        owner.execute("create table outbox.later (id int)")
        owner.execute("create view outbox.seen as select * from outbox.profile_updates")
        rows = owner.execute(
            "select relname from pg_class where relnamespace = 'outbox'::regnamespace"
            " and relkind in ('r', 'v')"
        )
        tables = [row[0] for row in rows.fetchall()]
    expected = {"profile_updates", "pushes", "attempts", "finished_updates", "later", "seen"}
    assert {*tables} == expected
    with _logged_in(warehouse, role) as session:
        for table in tables:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(SQL("select from {}").format(Identifier("outbox", table)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("select outbox.pushes.push_id from outbox.pushes")


def test_the_loader_reads_and_fills_the_whole_outbox(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as owner:
        owner.execute("create table outbox.later (id int)")
    with _logged_in(warehouse, "lcm_loader") as session:
        session.execute("insert into outbox.profile_updates (client_id) values (1)")
        session.execute("insert into outbox.pushes (last_update_id) values (1)")
        session.execute("insert into outbox.attempts (update_id, attempt_number, push_id,"
                        " field_names) values (1, 1, 1, '{}')")  # fmt: skip
        session.execute("select * from outbox.later")


def test_the_loader_may_read_all_that_a_dump_of_the_warehouse_reads(warehouse: Warehouse) -> None:
    """pg_dump reads each table, and the next value of each sequence."""
    with warehouse.connect(autocommit=True) as owner:
        ensure_partitions(owner, "core", "operations", [date(2026, 3, 1)])
        owner.execute("set role lcm_owner")
        owner.execute("create sequence sync.later")
        owner.execute("reset role")
        refused = owner.execute("""
            select oid::regclass::text from pg_class
            where
                relkind in ('r', 'p', 'v', 'm', 'S')
                and relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'
                and not has_table_privilege('lcm_loader', oid, 'select')
        """).fetchall()
    assert refused == []


def test_the_loader_pushes_without_owning_anything(
    warehouse: Warehouse, programme: Programme, make_settings: MakeSettings
) -> None:
    source = programme(clients=5)
    client = enrol(warehouse, source)[0]
    for name in ("Анна", "Ольга"):
        ask_for(warehouse, [(client, {"name": name})])
        with _logged_in(warehouse, "lcm_loader") as session:
            parts = urlsplit(warehouse.url)
            host = parts.netloc.rpartition("@")[2]
            theirs = Warehouse(parts._replace(netloc=f"lcm_loader@{host}").geturl())
            assert session.info.user == "lcm_loader"
            report = write_back(make_settings(source, theirs, max_rps=100.0), theirs).push()
            assert report.sent == 1
            assert read_outbox(theirs) is not None
            undo, _ = write_back(make_settings(source, theirs), theirs).undo(report.push_id)
            assert undo.is_waiting is (name == "Ольга")


def test_bi_reads_every_mart_and_past_days(by_hand: Synced) -> None:
    with _logged_in(by_hand.warehouse, "lcm_bi") as session:
        for mart in marts():
            session.execute(SQL("select * from {}").format(Identifier("mart", mart.name)))
        session.execute("select * from mart.leads_sla_on('2026-03-09')")


_READABLE = """
select pg_class.relnamespace::regnamespace::text, pg_class.relname, pg_attribute.attname
from pg_class
inner join pg_attribute on pg_attribute.attrelid = pg_class.oid and pg_attribute.attnum > 0
where
    pg_class.relnamespace::regnamespace::text
    in ('core', 'core_live', 'history', 'mart', 'outbox', 'public', 'refresh', 'staging', 'sync')
    and pg_class.relkind in ('r', 'p', 'v', 'm')
    and not pg_attribute.attisdropped
    and has_schema_privilege(pg_class.relnamespace, 'usage')
    and has_column_privilege(pg_class.oid, pg_attribute.attnum, 'select')
"""
_NUMBERS = """
select phone from core.clients where phone is not null
union select card_number from core.cards
union select out_number from core.registrations where out_number is not null
"""


@pytest.mark.parametrize("role", ["lcm_bi", "lcm_monitor"])
def test_no_column_that_bi_or_monitoring_may_read_has_a_phone_or_a_card(
    role: str, warehouse: Warehouse, programme: Programme, make_settings: MakeSettings
) -> None:
    sync_everything(make_settings(programme(clients=6), warehouse), warehouse)
    refresh_marts(warehouse)
    with warehouse.connect() as owner:
        numbers = [str(number) for (number,) in owner.execute(_NUMBERS).fetchall()]
    assert len(numbers) > 6
    with _logged_in(warehouse, role) as session:
        found = []
        columns = session.execute(_READABLE).fetchall()
        for schema, table, column in columns:
            statement = SQL("select exists (select from {} where {}::text ~ %s)").format(
                Identifier(schema, table), Identifier(column)
            )
            row = session.execute(statement, ["|".join(numbers)]).fetchone()
            if row == (True,):
                found.append(f"{schema}.{table}.{column}")
        assert len(columns) > 100
        assert found == []


def test_bi_has_a_statement_timeout(by_hand: Synced) -> None:
    with _logged_in(by_hand.warehouse, "lcm_bi") as session:
        assert session.execute("show statement_timeout").fetchone() == ("1min",)


def test_the_loader_writes_and_creates_partitions(warehouse: Warehouse) -> None:
    with _logged_in(warehouse, "lcm_loader") as session:
        session.execute("insert into sync.runs (feed, window_from, window_to)"
                        " values ('leads', '2026-03-01', '2026-03-01')")  # fmt: skip
        session.execute("insert into outbox.profile_updates (client_id) values (1)")
        assert ensure_partitions(session, "core", "leads", [date(2031, 1, 1)])
        assert ensure_partitions(session, "history", "leads", [date(2031, 1, 1)])
        session.execute("update mart.parameters set timezone = 'Europe/Moscow'")


def test_the_loader_refreshes_the_marts(warehouse: Warehouse) -> None:
    with _logged_in(warehouse, "lcm_loader") as session:
        parts = urlsplit(warehouse.url)
        host = parts.netloc.rpartition("@")[2]
        loader = Warehouse(parts._replace(netloc=f"lcm_loader@{host}").geturl())
        assert {one.name for one in refresh_marts(loader, everything=True)} == {
            mart.name for mart in marts() if mart.kind != "view"
        }
        assert session.execute("select count(*) from refresh.scope").fetchone() == (0,)
        session.execute("update refresh.marts set signature = 'forgotten'")
        assert not any(one.is_skipped for one in refresh_marts(loader))


def test_later_tables_and_partitions_are_readable_too(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create table core.later (id int)")
        session.execute("create view mart.later as select id from core.later")
        ensure_partitions(session, "core", "operations", [date(2031, 1, 1)])
    with _logged_in(warehouse, "lcm_bi") as session:
        session.execute("select * from mart.later")
    with _logged_in(warehouse, "lcm_analyst") as session:
        session.execute("select * from core.later")
        session.execute("select * from core.operations_203101")


def test_a_user_who_may_not_create_roles_can_still_migrate(
    postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The roles exist on the test server, so nothing is missing, and there is no warning."""
    with psycopg.connect(postgres, autocommit=True) as owner:
        owner.execute("create role humble login")
        owner.execute("create database humble_house owner humble")
        try:
            parts = urlsplit(postgres)
            host = parts.netloc.rpartition("@")[2]
            url = parts._replace(netloc=f"humble@{host}", path="/humble_house").geturl()
            assert "0006_create_roles.sql" in migrate(Warehouse(url))
            assert caplog.text == ""
            assert read_mart(Warehouse(url), "program_daily") == []
        finally:
            owner.execute("drop database if exists humble_house with (force)")
            owner.execute("drop role humble")


def test_no_phone_and_no_card_number_can_be_reached_from_the_marts(by_chance: Synced) -> None:
    secret = {str(row["Card"]) for row in by_chance.truth["registrations"]}
    secret |= {str(row["OutNumber"]) for row in by_chance.truth["registrations"]} - {"None"}
    profiles = by_chance.simulator.world.profile_rows()
    secret |= {str(row["Phone"]) for row in profiles} - {"None"}
    for mart in marts():
        for row in read_mart(by_chance.warehouse, mart.name):
            shown = {str(value) for value in row.values()}
            assert not shown & secret, f"mart.{mart.name} shows {shown & secret}"
