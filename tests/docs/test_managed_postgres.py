"""The statements of docs/how-to/managed-postgres.md, run as an administrator without superuser."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.partitions import ensure_partitions
from tests.commands import run
from tests.docs.commands import ROOT

PAGE = ROOT / "docs" / "how-to" / "managed-postgres.md"
_PASSWORD = "secret"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[str]:
    """A separate server, because of its roles; yields the address of a non-superuser admin."""
    with embedded_postgres(tmp_path / "provider") as url:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("create role administrator login createrole createdb")
        yield _with(url, user="administrator", database="postgres")


def _blocks() -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def _with(url: str, *, user: str, database: str) -> str:
    parts = urlsplit(url)
    at = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(user)}@{at}", path=f"/{database}").geturl()


def _run_block(address: str, block: str) -> None:
    with psycopg.connect(address, autocommit=True) as session:
        for statement in re.sub(r"--.*", "", block).replace("…", _PASSWORD).split(";"):
            if statement.strip():
                session.execute(statement.encode())


def test_the_user_of_a_provider_creates_the_warehouse_and_its_roles(
    provider: str, tmp_path: Path
) -> None:
    own, _, storage, daily = _blocks()
    _run_block(provider, own)
    _run_block(provider, storage)
    done = run(
        tmp_path, "migrate", LCM_DATABASE_URL=_with(provider, user="etl", database="loyalty")
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    with psycopg.connect(provider) as session:
        roles = session.execute(
            "select rolname from pg_roles where rolname like 'lcm\\_%'"
        ).fetchall()
    assert {name for (name,) in roles} == {
        "lcm_owner", "lcm_loader", "lcm_analyst", "lcm_bi", "lcm_monitor"
    }  # fmt: skip
    _run_block(_with(provider, user="etl", database="loyalty"), daily)
    _assert_roles(provider)


@pytest.mark.slow
def test_without_createrole_the_user_owns_all_until_the_roles_are_made(
    provider: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, roles, _, daily = _blocks()
    _run_block(provider, own.replace(" createrole", ""))
    alone = Warehouse(_with(provider, user="etl", database="loyalty"))
    assert migrate(alone)
    # One block, with the statements of the page.
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    stated = [line.strip() for line in warning.splitlines() if line.startswith("  ")]
    assert stated == [line for line in roles.splitlines() if line]
    refresh_marts(alone)
    with alone.connect(autocommit=True) as session:
        assert ensure_partitions(session, "core", "leads", [date(2026, 3, 1)])
    _run_block(provider, roles)
    done = run(
        tmp_path, "migrate", LCM_DATABASE_URL=_with(provider, user="etl", database="loyalty")
    )
    assert done.returncode == 0, done.stderr
    assert "missing" not in done.stderr, done.stderr
    _run_block(provider, daily)
    _assert_roles(provider)


def _assert_roles(provider: str) -> None:
    """Etl owns by way of lcm_owner, also what comes later; the login of the daily sync fills."""
    loader = Warehouse(_with(provider, user="daily_sync", database="loyalty"))
    assert migrate(loader) == []
    with loader.connect(autocommit=True) as session:
        assert ensure_partitions(session, "core", "operations", [date(2026, 3, 1)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("drop table core.operations")
    refresh_marts(loader)
    owner = Warehouse(_with(provider, user="etl", database="loyalty"))
    with owner.connect(autocommit=True) as session:
        session.execute("update public.lcm_marts set checksum = '' where name = 'card_mix'")
    assert migrate(owner) == ["mart.card_mix"]
    refresh_marts(loader)
    with owner.connect(autocommit=True) as session:
        found = session.execute(
            "select distinct pg_get_userbyid(relowner) from pg_class"
            " where relnamespace::regnamespace::text in ('core', 'mart', 'sync')"
        ).fetchall()
        assert found == [("lcm_owner",)]
        session.execute("set role lcm_owner")
