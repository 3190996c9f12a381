"""`lcm sql` and `lcm serve`: access to a warehouse for analysts and BI tools."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from lcm_pipeline.warehouse.access.shell import psql_command
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.migrations import migrate
from tests.commands import LCM, environment, run
from tests.waiting import PATIENCE

_POINT_VALUE = "select point_value from mart.parameters"


@pytest.fixture
def without_psql(tmp_path: Path) -> dict[str, str]:
    """Variables of a machine without psql, on the path or with the embedded server."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("postgres", "initdb"):
        (folder / name).touch()
    return {"PATH": "/nowhere", "PG_BINDIR": str(folder)}


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("has_psql", [True, False])
def test_an_analyst_reads_and_the_owner_writes(
    has_psql: bool, warehouse: Warehouse, tmp_path: Path, without_psql: dict[str, str]
) -> None:
    variables = {"LCM_DATABASE_URL": warehouse.url, **({} if has_psql else without_psql)}
    read = run(tmp_path, "sql", "--csv", "-c", _POINT_VALUE, **variables)
    assert (read.returncode, read.stdout.splitlines()) == (0, ["point_value", "1.0000"])
    writing = "update mart.parameters set point_value = 2"
    refused = run(tmp_path, "sql", "-c", writing, **variables)
    assert refused.returncode == 1
    assert "permission denied" in refused.stderr or "read-only" in refused.stderr
    assert "Traceback" not in refused.stderr
    hidden = run(tmp_path, "sql", "-c", "select * from outbox.profile_updates", **variables)
    assert hidden.returncode == 1
    assert run(tmp_path, "sql", "--as-owner", "-c", writing, **variables).returncode == 0
    assert "2.0000" in run(tmp_path, "sql", "-c", _POINT_VALUE, **variables).stdout


def test_statements_are_also_read_from_stdin(
    warehouse: Warehouse, tmp_path: Path, without_psql: dict[str, str]
) -> None:
    for variables in ({}, without_psql):
        done = subprocess.run(
            [LCM, "sql"],
            input=f"{_POINT_VALUE};\nselect 7 *\n 6 as answer;\n",
            env=environment(tmp_path, LCM_DATABASE_URL=warehouse.url, **variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "1.0000" in done.stdout
        assert "42" in done.stdout


def test_the_arguments_of_psql_contain_no_password() -> None:
    warehouse = Warehouse("postgresql://etl:s3cr3t%40@db.example:5433/loyalty?sslmode=require")
    words, variables = psql_command(Path("psql"), warehouse, {"role": "lcm_analyst"}, [])
    assert "s3cr3t" not in " ".join(words)
    assert variables["PGPASSWORD"] == "s3cr3t@"
    assert "sslmode=require" in words[2]
    assert "role=lcm_analyst" in words[2]


def test_sql_in_the_wrong_folder_creates_no_warehouse(tmp_path: Path) -> None:
    for command in (
        ("sql", "-c", "select 1"), ("sql", "--as-owner", "-c", "select 1"), ("serve",),
    ):  # fmt: skip
        ended = run(tmp_path, *command)
        assert ended.returncode == 2
        assert "Nothing was ever synced here" in ended.stderr
    assert not (tmp_path / "home").exists()


@contextmanager
def _serving(tmp_path: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a command that serves; yields its first line and the process."""
    serving = subprocess.Popen(
        [LCM, *words],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        yield serving.stdout.readline().strip(), serving
    finally:
        serving.kill()
        serving.communicate()


@pytest.mark.slow
def test_only_the_bi_login_can_connect_to_the_embedded_marts(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path / "home") as url:
        migrate(Warehouse(url))
    with _serving(tmp_path, "serve", "--port", "0") as (dsn, serving):
        parts = urlsplit(dsn)
        assert (parts.hostname, parts.username) == ("127.0.0.1", "lcm_bi_reader")
        with psycopg.connect(dsn, autocommit=True) as session:
            session.execute("select * from mart.program_daily")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("select * from core.clients")
        intruders = {"lcm": "alone", "lcm_analyst": "alone", "lcm_bi_reader": "password"}
        for user, refusal in intruders.items():
            with pytest.raises(psycopg.OperationalError, match=refusal):
                psycopg.connect(parts._replace(netloc=f"{user}:x@127.0.0.1:{parts.port}").geturl())
        # Only the owner can open the socket, and is still trusted there.
        assert run(tmp_path, "sql", "-c", "select 1").returncode == 0
        taken = run(tmp_path, "serve", "--port", str(parts.port))
        assert taken.returncode == 2
        assert f"(pid {serving.pid})" in taken.stderr
        assert "--port" in taken.stderr
        serving.send_signal(signal.SIGTERM)
        _, stderr = serving.communicate(timeout=PATIENCE)
        assert serving.returncode == 0, stderr
    password_file = tmp_path / "home" / "serve" / "lcm_bi_reader"
    assert password_file.stat().st_mode & 0o077 == 0
    statement = "copy (select 'first') to stdout"
    with _serving(tmp_path, "sql", "--keep", "-c", statement) as (first, kept):
        assert first == "first"
        assert kept.stdout is not None
        with psycopg.connect(kept.stdout.readline().strip()) as session:
            session.execute("select * from core.clients")
        kept.send_signal(signal.SIGTERM)
        _, stderr = kept.communicate(timeout=PATIENCE)
        assert kept.returncode == 0, stderr
    failed = run(tmp_path, "sql", "--keep", "-c", "select no_such_column")
    assert failed.returncode == 1
    assert "postgresql://" not in failed.stdout


def test_serve_is_refused_for_an_external_server(warehouse: Warehouse, tmp_path: Path) -> None:
    for command in (("serve",), ("sql", "--keep", "-c", "select 1")):
        ended = run(tmp_path, *command, LCM_DATABASE_URL=warehouse.url)
        assert ended.returncode == 2
        assert "lcm_bi or lcm_analyst" in ended.stderr
