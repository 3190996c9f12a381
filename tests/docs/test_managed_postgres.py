"""The statements of docs/how-to/managed-postgres.md, run as an administrator without superuser."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.docs.commands import ROOT
from tests.integration.test_cli import run

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
    own, _, storage = _blocks()
    _run_block(provider, own)
    _run_block(provider, storage)
    done = run(
        tmp_path, "migrate", LCM_DATABASE_URL=_with(provider, user="etl", database="loyalty")
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    with psycopg.connect(provider) as session:
        roles = session.execute("select rolname from pg_roles where rolname like 'lcm%'").fetchall()
    assert {"lcm_loader", "lcm_analyst", "lcm_bi", "lcm_monitor"} <= {name for (name,) in roles}


def test_without_createrole_the_roles_are_created_first(provider: str, tmp_path: Path) -> None:
    own, roles, _ = _blocks()
    _run_block(provider, own.replace(" createrole", ""))
    _run_block(provider, roles)
    done = run(
        tmp_path, "migrate", LCM_DATABASE_URL=_with(provider, user="etl", database="loyalty")
    )
    assert done.returncode == 0, done.stderr
    assert "missing" not in done.stderr, done.stderr
