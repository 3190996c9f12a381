"""A user without rights learns at the start which are missing, and which statements grant them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.access.rights import require_new_months
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.migrations import grant_missing_rights, migrate
from tests.commands import run
from tests.conftest import Programme
from tests.integration.postgres_users import Tenant, address, tenant


@pytest.fixture
def house(postgres: str, template: str) -> Iterator[Tenant]:
    """A database that is a superuser's; by now the roles of the migrations exist on the server."""
    with tenant(postgres, owns=False) as made:
        yield made


def _statements(message: str) -> list[str]:
    return [line.strip() for line in message.splitlines() if line.startswith("  ")]


def _refusal(url: str) -> str:
    with pytest.raises(WarehouseUnavailableError) as refused:
        migrate(Warehouse(url))
    assert "LCM_DATABASE_URL" in str(refused.value)
    return str(refused.value)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("taken", "missing"),
    [
        (["grant create on database {database} to {user}"], ["schema public"]),
        ([], ["on database", "schema public"]),
        (
            ["drop schema public", "revoke temporary on database {database} from public"],
            ["on database", "create schema public", "on schema public", "temporary"],
        ),
        (
            [
                "grant create on database {database} to {user}",
                "grant create on schema public to {user}",
                "revoke usage on schema public from public",
            ],
            ["usage, create on schema public"],
        ),
    ],
)
def test_a_new_warehouse_needs_rights_that_the_message_gives(
    taken: Sequence[str], missing: Sequence[str], house: Tenant, tmp_path: Path
) -> None:
    for statement in taken:
        house.run(statement)
    ended = run(tmp_path, "migrate", LCM_DATABASE_URL=house.url)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    statements = _statements(ended.stderr)
    assert len(statements) == len(missing)
    for statement, words in zip(statements, missing, strict=True):
        assert words in statement
    schemas = house.owner.execute("select count(*) from pg_namespace where nspname = 'core'")
    assert schemas.fetchone() == (0,)
    for statement in statements:
        house.owner.execute(statement.encode())
    migrated = run(tmp_path, "migrate", LCM_DATABASE_URL=house.url)
    assert migrated.returncode == 0
    # The rights that the message asked for suffice: nothing is left to warn of.
    assert "WARNING" not in migrated.stderr


@pytest.mark.slow
def test_a_stranger_is_told_to_become_a_loader_and_then_syncs(
    house: Tenant, postgres: str, tmp_path: Path, programme: Programme
) -> None:
    migrate(Warehouse(address(postgres, database=house.database)))
    variables = {
        "LCM_API_URL": programme(clients=3).url,
        "LCM_DATABASE_URL": house.url,
        "LCM_START_DATE": "2026-03-01",
    }
    refused = run(tmp_path, "sync", "--date", "2026-03-01", **variables)
    assert refused.returncode == 2
    assert _statements(refused.stderr) == [f"grant lcm_loader to {house.user};"]
    house.run("grant lcm_loader to {user}")
    ended = run(tmp_path, "sync", "--date", "2026-03-01", **variables)
    assert ended.returncode == 0, ended.stderr


def test_a_member_who_does_not_inherit_is_told_so(house: Tenant, postgres: str) -> None:
    migrate(Warehouse(address(postgres, database=house.database)))
    house.run("grant lcm_loader to {user} with inherit false")
    [statement] = _statements(_refusal(house.url))
    house.owner.execute(statement.encode())
    assert migrate(Warehouse(house.url)) == []


def test_a_loader_who_may_not_use_public_is_told_so(house: Tenant, postgres: str) -> None:
    migrate(Warehouse(address(postgres, database=house.database)))
    house.run("grant lcm_loader to {user}")
    house.run("revoke usage on schema public from public, lcm_loader")
    [statement] = _statements(_refusal(house.url))
    house.owner.execute(statement.encode())
    assert migrate(Warehouse(house.url)) == []


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("forgotten", ["lcm_migrations", "lcm_marts"])
def test_a_loader_cannot_change_the_schema_and_is_told_who_can(
    forgotten: str, house: Tenant, postgres: str
) -> None:
    owner = Warehouse(address(postgres, database=house.database))
    migrate(owner)
    house.run("grant lcm_loader to {user}")
    assert migrate(Warehouse(house.url)) == []
    house.owner.execute(
        SQL("delete from {table} where name = (select max(name) from {table})").format(
            table=Identifier("public", forgotten)
        )
    )
    message = _refusal(house.url)
    assert "as its owner lcm_owner" in message
    assert f"grant lcm_owner to {house.user};" in message


def test_who_may_not_make_new_months_is_refused_before_anything_is_read(
    house: Tenant, postgres: str
) -> None:
    migrate(Warehouse(address(postgres, database=house.database)))
    for statement in (
        "grant usage on schema public, sync to {user}",
        "grant select on public.lcm_migrations, public.lcm_marts to {user}",
        "grant select, insert on all tables in schema sync to {user}",
    ):
        house.run(statement)
    with pytest.raises(WarehouseUnavailableError) as refused:
        require_new_months(Warehouse(house.url))
    [statement] = _statements(str(refused.value))
    assert statement == f"grant lcm_loader to {house.user};"
    house.owner.execute(statement.encode())
    require_new_months(Warehouse(house.url))


@pytest.mark.slow
def test_a_default_tablespace_that_the_owner_may_not_use_is_refused_with_the_statement(
    house: Tenant, tmp_path: Path, programme: Programme
) -> None:
    space = f"space_{house.user}"
    house.run("alter database {database} owner to {user}")
    house.run("grant lcm_owner to {user}")
    house.owner.execute("set allow_in_place_tablespaces = on")
    house.owner.execute(f"create tablespace {space} location ''".encode())
    try:
        house.run(f"alter role {{user}} set default_tablespace = {space}")
        [statement] = _statements(_refusal(house.url))
        assert statement == f"grant create on tablespace {space} to {house.user};"
        house.owner.execute(statement.encode())
        variables = {"LCM_API_URL": programme(clients=2).url, "LCM_DATABASE_URL": house.url}
        days = ("--from", "2026-03-01", "--to", "2026-03-02")
        refused = run(tmp_path, "sync", *days, **variables)
        assert refused.returncode == 2
        [statement] = _statements(refused.stderr)
        assert statement == f"grant create on tablespace {space} to lcm_owner;"
        house.owner.execute(statement.encode())
        ended = run(tmp_path, "sync", *days, **variables)
        assert ended.returncode == 0, ended.stderr
    finally:
        for schema in ("core", "core_live", "history", "mart", "outbox", "refresh", "staging",
                       "sync", "public"):  # fmt: skip
            house.owner.execute(f"drop schema if exists {schema} cascade".encode())
        house.owner.execute(f"drop tablespace {space}".encode())


def test_an_owner_who_may_create_no_temporary_tables_is_named_with_the_statement(
    tmp_path: Path, house: Tenant
) -> None:
    """The owner refreshes materialized views; only the login may have got the right by name."""
    for statement in (
        "revoke temporary on database {database} from public",
        "grant create, temporary on database {database} to {user}",
        "grant usage, create on schema public to {user}",
        "grant lcm_owner to {user}",
    ):
        house.run(statement)
    warehouse = Warehouse(house.url)
    migrated = run(tmp_path, "migrate", LCM_DATABASE_URL=house.url)
    assert migrated.returncode == 2
    assert "is up to date" in migrated.stdout
    statement = f"grant temporary on database {house.database} to lcm_owner;"
    assert _statements(migrated.stderr) == [statement]
    with pytest.raises(WarehouseUnavailableError) as refused:
        require_new_months(warehouse)
    assert _statements(str(refused.value)) == [statement]
    assert _statements(_refusal(house.url)) == [statement]
    house.owner.execute(statement.encode())
    require_new_months(warehouse)
    assert migrate(warehouse) == []


def test_the_tablespace_is_checked_for_the_owner_of_the_tables_not_of_the_ledger(
    house: Tenant,
) -> None:
    """In the database of somebody else the ledger stays with the user who has created it."""
    space = f"space_{house.user}"
    house.run("grant create, temporary on database {database} to {user}")
    house.run("grant usage, create on schema public to {user}")
    house.run("grant lcm_owner to {user}")
    migrate(Warehouse(house.url))
    house.owner.execute("set allow_in_place_tablespaces = on")
    house.owner.execute(f"create tablespace {space} location ''".encode())
    try:
        house.owner.execute(f"grant create on tablespace {space} to {house.user}".encode())
        house.run(f"alter role {{user}} set default_tablespace = {space}")
        statement = f"grant create on tablespace {space} to lcm_owner;"
        assert _statements(_refusal(house.url)) == [statement]
        house.owner.execute(statement.encode())
        assert migrate(Warehouse(house.url)) == []
    finally:
        house.owner.execute(f"drop tablespace {space}".encode())


@pytest.mark.parametrize("role", ["lcm_owner", "lcm_loader"])
def test_who_administers_a_role_lets_itself_act_as_it(
    role: str, postgres: str, template: str
) -> None:
    with tenant(postgres) as made:
        made.run(f"grant {role} to {{user}} with admin true, inherit false, set false")
        assert migrate(Warehouse(made.url))
        owner = made.owner.execute(
            "select pg_get_userbyid(relowner) from pg_class where oid = 'core.operations'::regclass"
        )
        assert owner.fetchone() == ("lcm_owner" if role == "lcm_owner" else made.user,)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["lcm_owner", "lcm_loader"])
def test_a_member_who_may_not_act_as_a_role_is_told_the_statement(
    role: str, postgres: str, template: str
) -> None:
    with tenant(postgres) as made:
        made.run(f"grant {role} to {{user}} with inherit true, set false")
        [statement] = _statements(_refusal(made.url))
        made.owner.execute(statement.encode())
        assert migrate(Warehouse(made.url))


@pytest.mark.slow
def test_an_owner_who_makes_the_roles_migrates_without_a_superuser(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path / "home") as url:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("create role landlord login createrole")
            server.execute("create database house owner landlord")
        warehouse = Warehouse(address(url, user="landlord", database="house"))
        assert "0006_create_roles.sql" in migrate(warehouse)
        require_new_months(warehouse)
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("create database second owner landlord")
        assert migrate(Warehouse(address(url, user="landlord", database="second")))


def test_what_a_superuser_has_added_keeps_no_role_from_its_rights(
    postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    with tenant(postgres) as made:
        migrate(Warehouse(made.url))
        for statement in (
            "create view mart.mine as select 1 as one",
            "create table outbox.mine (id integer)",
            "create function sync.mine() returns integer return 1",
            "create sequence sync.numbers",
            "revoke select on mart.program_daily from lcm_bi",
        ):
            made.run(statement)
        caplog.clear()
        assert grant_missing_rights(Warehouse(made.url)) == {"lcm_bi": 1}
        assert "may not: grant" not in caplog.text
