"""lcm_owner owns the warehouse, and members of lcm_loader do everything that a day needs."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline import feeds
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.verify.repair import read_clients_again
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import grant_missing_rights, migrate
from lcm_pipeline.warehouse.partitions import ensure_partitions
from lcm_pipeline.warehouse.privacy import old_months
from lcm_pipeline.warehouse.privacy.client_rows import OtherTablesError
from lcm_pipeline.warehouse.privacy.expiration import expire
from lcm_pipeline.warehouse.privacy.forgetting import forget, require_no_other_rows
from lcm_pipeline.warehouse.privacy.pseudonymizing import use_keys
from lcm_pipeline.warehouse.queries import query
from tests.conftest import MakeSettings, Programme
from tests.integration.postgres_users import address, tenant
from tests.outbox import ask_for, write_back
from tests.syncing import MARCH, sync_everything

SCHEMAS = ("core", "core_live", "history", "mart", "outbox", "refresh", "staging", "sync")
_OWNERS = """
select distinct pg_get_userbyid(relowner) from pg_class
where relnamespace::regnamespace::text = any(%s) and relkind in ('r', 'p', 'v', 'm')
union
select pg_get_userbyid(nspowner) from pg_namespace where nspname = any(%s)
union
select pg_get_userbyid(proowner) from pg_proc where pronamespace::regnamespace::text = any(%s)
union
select pg_get_userbyid(relowner) from pg_class where oid = 'public.lcm_migrations'::regclass
"""
_FORBIDDEN = (
    "drop table core.clients",
    "drop table core.operations_202603",
    "drop schema staging",
    "truncate core.clients",
    "alter table core.operations add column mine text",
    "alter table core.clients owner to current_user",
    "alter table core.operations disable trigger all",
    "create index on core.clients (phone)",
    "create rule mine as on insert to core.clients do also select 1",
    "create policy mine on core.clients",
    "alter function sync.make_month(text, text, date) security invoker",
    "alter view mart.points_owed rename to mine",
    "alter table mart.parameters add column mine text",
    "comment on table core.clients is 'mine'",
    "set role lcm_owner",
    *(
        f"create trigger mine before insert on {table}"
        " for each row execute function suppress_redundant_updates_trigger()"
        for table in (
            "core.clients", "core.operations", "core.operations_202603", "sync.runs",
            "staging.leads_r1", "mart.parameters", "outbox.profile_updates",
        )
    ),
    *(f"create table {schema}.mine (id integer)" for schema in SCHEMAS),
    *(f"create function {schema}.mine() returns int return 1" for schema in SCHEMAS),
)  # fmt: skip


@pytest.fixture
def loaders(warehouse: Warehouse) -> Iterator[tuple[Warehouse, Warehouse]]:
    """The warehouse as two logins see it that are in lcm_loader and nothing else."""
    names = [f"loader_{os.getpid()}_{letter}" for letter in "ab"]
    theirs = [Warehouse(address(warehouse.url, user=name)) for name in names]
    with warehouse.connect(autocommit=True) as session:
        for name in names:
            session.execute(SQL("create role {} login in role lcm_loader").format(Identifier(name)))
        yield theirs[0], theirs[1]
        for name in names:
            # Its temporary tables are gone when its sessions are.
            session.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = %s",
                (name,),
            )
            # Fails if it owns anything.
            session.execute(SQL("drop role {}").format(Identifier(name)))


def _owners(warehouse: Warehouse) -> set[str]:
    with warehouse.connect() as session:
        found = session.execute(_OWNERS, [list(SCHEMAS)] * 3).fetchall()
    return {str(name) for (name,) in found}


def test_a_loader_names_tables_that_it_may_not_read_after_an_erasure(
    loaders: tuple[Warehouse, Warehouse], warehouse: Warehouse
) -> None:
    with warehouse.connect() as session:
        session.execute("create table core.people (client_id bigint)")
        session.execute("revoke all on core.people from lcm_loader")
    with pytest.raises(OtherTablesError, match=r"core\.people \(which this user may not read\)"):
        require_no_other_rows(loaders[0], 1)


@pytest.mark.slow
def test_a_loader_syncs_pushes_repairs_removes_and_erases(
    loaders: tuple[Warehouse, Warehouse],
    warehouse: Warehouse,
    programme: Programme,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loader, _ = loaders
    source = programme(clients=6, habits=("leads_daily=0.3", "merged_daily=0"))
    settings = make_settings(source, loader, max_in_flight=4, audit_share=1.0)
    assert migrate(loader) == []
    assert sync_everything(settings, loader)["operations"].rows_written > 0
    assert len(refresh_marts(loader)) == len(refresh_marts(loader, everything=True))
    client, other = sorted(source.world.programme.customers)[:2]
    ask_for(loader, [(client, {"name": "Анна"})])
    assert write_back(settings, loader).push().sent == 1
    assert read_clients_again(SyncEngine(settings, loader), [feeds.OPERATIONS], [client])
    assert forget(loader, other, [], Pseudonyms()).kept_without_person
    with loader.connect(autocommit=True) as session:
        ensure_partitions(session, "core", "leads", [date(2024, 1, 1)])
    now = datetime(2026, 3, 31, 12, tzinfo=UTC)
    monkeypatch.setattr(old_months, "_PATIENCE_SECONDS", 0)
    with warehouse.connect() as reader:
        reader.execute("select count(*) from core.leads")
        [left] = expire(loader, 2, settings.zone, now).left
        assert (left.table, left.left) == ("core.leads_202401", "another session reads it")
    expired = expire(loader, 2, settings.zone, now)
    assert not expired.left
    assert "core.leads_202401" in {rows.table for rows in expired.rows}
    assert _owners(warehouse) == {"lcm_owner"}


def test_a_loader_hashes_what_is_stored(
    loaders: tuple[Warehouse, Warehouse], programme: Programme, make_settings: MakeSettings
) -> None:
    source = programme(clients=3)
    sync_everything(make_settings(source, loaders[0]), loaders[0])
    keyed = make_settings(source, loaders[1], pseudonym_key="a key of sixteen bytes or more")
    assert use_keys(loaders[1], keyed) == 1


def test_two_loaders_take_turns_with_a_run_and_its_month(
    loaders: tuple[Warehouse, Warehouse],
    warehouse: Warehouse,
    programme: Programme,
    make_settings: MakeSettings,
) -> None:
    source = programme(clients=4)
    first, second = (SyncEngine(make_settings(source, one), one) for one in loaders)
    first.sync(feeds.REGISTRATIONS, MARCH)
    first.start(feeds.OPERATIONS, MARCH)
    second.read(feeds.OPERATIONS, MARCH)
    assert second.publish(feeds.OPERATIONS, MARCH).rows_written > 0
    with loaders[0].connect(autocommit=True) as session:
        assert ensure_partitions(session, "core", "leads", [date(2027, 1, 1)])
    with loaders[1].connect(autocommit=True) as session:
        assert ensure_partitions(session, "core", "leads", [date(2027, 1, 1)]) == []
        session.execute("insert into sync.retention (kept_from) values ('2027-02-01')")
        session.execute(
            query("remove_month"),
            {"schema_name": "core", "parent": "leads", "month_table": "leads_202701"},
        )
    with warehouse.connect() as session:
        assert session.execute("select to_regclass('core.leads_202701')").fetchone() == (None,)
        staged = "select count(*) from pg_class where relnamespace = 'staging'::regnamespace"
        assert session.execute(staged.encode()).fetchone() == (0,)
    assert _owners(warehouse) == {"lcm_owner"}


def test_a_loader_changes_no_table_and_plants_nothing_that_others_run(
    loaders: tuple[Warehouse, Warehouse], warehouse: Warehouse
) -> None:
    with warehouse.connect(autocommit=True) as session:
        for table in ("core.operations", "core.leads"):
            ensure_partitions(session, *table.split("."), [date(2026, 3, 1)])
        values = {
            "run_id": 1, "table_name": "leads", "column_names": ["id"], "column_types": ["int8"]
        }  # fmt: skip
        session.execute(query("make_staging"), values)
    with loaders[0].connect(autocommit=True) as session:
        for statement in _FORBIDDEN:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement.encode())
                pytest.fail(statement)


def test_what_a_loader_may_do_as_the_owner_reaches_nothing_else(
    loaders: tuple[Warehouse, Warehouse], warehouse: Warehouse
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create table core.leads_202601 as table core.leads")
    with loaders[0].connect(autocommit=True) as session:
        session.execute("create temp table harmless (id integer)")
        session.execute("create domain pg_temp.mine as int check (value > pg_backend_pid())")
        session.execute("insert into sync.retention (kept_from) values ('2027-02-01')")
        for call in (
            "sync.make_month('sync', 'runs', '2026-03-01')",
            "sync.make_month('core', 'clients', '2026-03-01')",
            "sync.make_month('core', 'operations', '2026-03-02')",
            "sync.make_month('core', 'operations (id) --', '2026-03-01')",
            "sync.remove_month('core', 'operations', 'operations_202603')",
            "sync.remove_month('core', 'clients', 'clients')",
            # Somebody's copy of a month.
            "sync.remove_month('core', 'leads', 'leads_202601')",
            "sync.make_staging(1, 'leads', '{id}', '{mine}')",
            "sync.make_staging(1, 'leads', '{id,other}', '{int8}')",
            "sync.make_staging(1, 'nothing', '{id}', '{int8}')",
            "sync.analyze_table('history.clients', null)",
            "sync.analyze_table('pg_temp.harmless', null)",
        ):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                session.execute(f"select {call}".encode())
                pytest.fail(call)


def test_functions_that_act_for_their_owner_fix_their_search_path(warehouse: Warehouse) -> None:
    with warehouse.connect() as session:
        found = session.execute(
            "select oid::regprocedure::text, coalesce(proconfig, '{}'),"
            " has_function_privilege('lcm_bi', oid, 'execute')"
            " from pg_proc where prosecdef and pronamespace::regnamespace::text = any(%s)",
            (list(SCHEMAS),),
        ).fetchall()
    assert len(found) >= 8
    for name, settings, is_for_bi in found:
        assert "search_path=pg_catalog, pg_temp" in settings, name
        # mart.readings calls the one of refresh; those of sync change something.
        expected = name.startswith("mart.") or name == "refresh.days_with_rows()"
        assert is_for_bi == expected, name


@pytest.mark.slow
def test_everything_of_an_earlier_version_comes_to_the_owner(
    loaders: tuple[Warehouse, Warehouse],
    warehouse: Warehouse,
    programme: Programme,
    make_settings: MakeSettings,
) -> None:
    """Tables were lcm_loader's, what a login had made its own, and the rest who had migrated."""
    source = programme(clients=3)
    before = SyncEngine(make_settings(source, loaders[0]), loaders[0])
    before.sync(feeds.REGISTRATIONS, MARCH)
    before.start(feeds.LEADS, MARCH)
    with warehouse.connect(autocommit=True) as session:
        for table in ("core.operations", "history.operations", "mart.lots", "mart.card_mix"):
            session.execute(f"alter table {table} owner to lcm_loader".encode())
        session.execute("grant create on schema core, staging, mart to lcm_loader")
        for table in ("staging.leads_r2", "core.registrations_202603"):
            name = f"loader_{os.getpid()}_a"
            session.execute(f"alter table {table} owner to {name}".encode())
        session.execute("alter function sync.drop_staging(bigint) owner to current_user")
        session.execute("create view mart.of_somebody as select 1 as one")
    grant_missing_rights(warehouse)
    with warehouse.connect(autocommit=True) as session:
        # A view that is not of lcm would read with other rights.
        session.execute("drop view mart.of_somebody")
    assert _owners(warehouse) == {"lcm_owner"}
    settings = make_settings(source, loaders[1])
    assert sync_everything(settings, loaders[1])["leads"].pending == 0
    refresh_marts(loaders[1])


@pytest.mark.slow
def test_an_owner_who_may_not_act_as_lcm_owner_stays_the_owner(
    postgres: str, template: str, programme: Programme, make_settings: MakeSettings
) -> None:
    """As on a server where the role cannot be created, or is another programme's."""
    with tenant(postgres) as made:
        house = Warehouse(made.url)
        assert migrate(house)
        assert _owners(house) == {made.user}
        with tenant(postgres) as other:
            made.owner.execute(SQL("grant lcm_loader to {}").format(Identifier(other.user)))
            loader = Warehouse(address(other.url, database=made.database))
            settings = make_settings(programme(clients=3), loader)
            assert sync_everything(settings, loader)["operations"].rows_written > 0
            refresh_marts(loader)
        # A superuser who migrates lets that owner act as the new one.
        assert migrate(Warehouse(address(postgres, database=made.database))) == []
        grant_missing_rights(Warehouse(address(postgres, database=made.database)))
        assert _owners(house) == {"lcm_owner"}
        made.owner.execute("update public.lcm_marts set checksum = '' where name = 'card_mix'")
        assert migrate(house) == ["mart.card_mix"]
        assert _owners(house) == {"lcm_owner"}
