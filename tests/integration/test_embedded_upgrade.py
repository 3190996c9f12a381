"""`lcm upgrade-home`: nothing is lost, whatever happens, and the old data stays."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded import dump, upgrade
from lcm_pipeline.warehouse.embedded.binaries import find_binaries, major_version
from lcm_pipeline.warehouse.embedded.cluster import finish_swap, stated_version
from lcm_pipeline.warehouse.embedded.folder import EmbeddedPostgresError, ServerFolder
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.embedded.upgrade import upgrade_home
from lcm_pipeline.warehouse.embedded.upgrade_errors import HomeInUseError, UpgradeError
from lcm_pipeline.warehouse.migrations import migrate
from tests.commands import LCM, environment
from tests.conftest import Programme
from tests.integration.embedded_users import server_processes
from tests.oracle import assert_exact
from tests.stored import snapshot
from tests.syncing import MARCH, sync_everything
from tests.waiting import wait_for

_INSTALLED = major_version(find_binaries(None))
_OLDER = [
    programs
    for major in range(_INSTALLED - 1, 14, -1)
    if ((programs := Path(f"/usr/lib/postgresql/{major}/bin")) / "postgres").is_file()
]
_OLD = major_version(_OLDER[0]) if _OLDER else 0
pytestmark = pytest.mark.skipif(
    not _OLDER, reason="needs an older Postgres in /usr/lib/postgresql, such as postgresql-15"
)
_EXTRAS = (
    "create role accountant login password 'secret'",
    "alter database lcm set work_mem = '7MB'",
    "create database budget",
)
_BUDGET = (
    "create table plans (plan_id integer primary key generated always as identity)",
    "insert into plans select from generate_series(1, 3)",
    "grant select on plans to accountant",
)


@pytest.fixture(scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of an older Postgres, with what a user has added."""
    home = tmp_path_factory.mktemp("made") / "home"
    with _old_server(home) as warehouse:
        with warehouse.connect(autocommit=True) as session:
            for statement in _EXTRAS:
                session.execute(statement.encode())
        with psycopg.connect(warehouse.url, dbname="budget") as session:
            for statement in _BUDGET:
                session.execute(statement.encode())
    return home


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    shutil.copytree(made_home, home)
    yield home
    wait_for(lambda: not server_processes(home))


def _settings(source: RunningSimulator, warehouse: Warehouse) -> Settings:
    return load_settings(
        _env_file=None, api_url=source.url, database_url=warehouse.url, concurrency=8
    )


def _nothing(_line: str) -> None:
    """A report that nobody reads."""


def _version(home: Path) -> int:
    return stated_version(ServerFolder(home).data_folder)


@contextmanager
def _old_server(home: Path) -> Iterator[Warehouse]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PG_BINDIR", str(_OLDER[0]))
        with embedded_postgres(home) as url:
            yield Warehouse(url, is_embedded=True)


def _folders(home: Path) -> set[str]:
    names = {path.name for path in (home / "postgres").iterdir() if path.is_dir()}
    return names - {"log", "socket"}


@pytest.mark.slow
def test_a_killed_upgrade_leaves_the_old_home_and_the_next_one_carries_everything_over(
    home: Path, programme: Programme, tmp_path: Path
) -> None:
    source = programme(clients=4)
    with _old_server(home) as warehouse:
        migrate(warehouse)
        sync_everything(_settings(source, warehouse), warehouse)
        with warehouse.connect(autocommit=True) as session:
            session.execute("grant lcm_analyst to accountant")
    refused = pytest.raises(EmbeddedPostgresError, match="lcm upgrade-home")
    with refused, embedded_postgres(home):
        pass
    killed = subprocess.Popen([LCM, "upgrade-home"], env=environment(tmp_path), cwd=tmp_path)
    begun = home / "postgres/upgrade/postmaster.pid"
    wait_for(begun.exists)
    killed.kill()
    killed.wait()
    wait_for(lambda: not server_processes(home))
    with _old_server(home) as warehouse:
        before = snapshot(warehouse)
    done = subprocess.run(
        [LCM, "upgrade-home", "--from-bin", str(_OLDER[0].parent)],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "copying database budget" in done.stdout
    retained = home / f"postgres/data-{_OLD}"
    assert f"the old data is in {retained}" in done.stdout
    assert (stated_version(retained), _folders(home)) == (_OLD, {"data", retained.name})
    with embedded_postgres(home) as url:
        warehouse = Warehouse(url, is_embedded=True)
        assert snapshot(warehouse) == before
        with warehouse.connect(autocommit=True) as session:
            assert session.info.server_version // 10_000 == _INSTALLED
            assert session.execute("show work_mem").fetchone() == ("7MB",)
            locale = "select datlocprovider from pg_database where datname = current_database()"
            assert _INSTALLED < 17 or session.execute(locale).fetchone() == ("b",)
            verifier = "select rolpassword from pg_authid where rolname = 'accountant'"
            (stored,) = session.execute(verifier).fetchone() or ("",)
            assert stored.startswith("SCRAM-SHA-256$")
            member = "select pg_has_role('accountant', 'lcm_analyst', 'member')"
            assert session.execute(member).fetchone() == (True,)
        with psycopg.connect(url, dbname="budget") as session:
            added = session.execute("insert into plans default values returning plan_id").fetchone()
            assert added == (4,)
        assert migrate(warehouse) == []
        reports = sync_everything(_settings(source, warehouse), warehouse)
        assert {report.rows_written for report in reports.values()} == {0}
        assert_exact(source, warehouse, last=MARCH.last)
    assert upgrade_home(home, None, _nothing) is None


@pytest.mark.slow
def test_the_next_command_finishes_an_upgrade_that_was_killed_between_its_renames(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10))

    def finish_or_die(folder: ServerFolder) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt
        finish_swap(folder)

    monkeypatch.setattr(upgrade, "finish_swap", finish_or_die)
    with pytest.raises(KeyboardInterrupt):
        upgrade_home(home, None, _nothing)
    assert _folders(home) == {"data-upgraded", f"data-{_OLD}"}
    assert ServerFolder(home).has_data
    with embedded_postgres(home) as url, psycopg.connect(url, dbname="budget") as session:
        assert session.execute("select count(*) from plans").fetchone() == (3,)
    assert _folders(home) == {"data", f"data-{_OLD}"}


@pytest.mark.slow
def test_a_failed_load_or_comparison_or_an_interrupt_leaves_the_old_home(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # Then the database refers to a role that does not exist.
        patch.setattr(dump, "copy_roles", lambda *_: None)
        failed = pytest.raises(UpgradeError, match=r"(?s)load of database budget.*nothing was lost")
        with failed:
            upgrade_home(home, None, _nothing)
    assert (_folders(home), _version(home)) == ({"data"}, _OLD)
    contents = upgrade._contents

    def lose_a_row(server: Any, databases: list[str]) -> upgrade.Contents:
        found = contents(server, databases)
        if server.port == upgrade._NEW_PORT:
            found["budget", "table", "public.plans"] = 2
        return found

    with monkeypatch.context() as patch:
        patch.setattr(upgrade, "_contents", lose_a_row)
        with pytest.raises(UpgradeError, match=r"table public\.plans .*: 3 before, 2 after"):
            upgrade_home(home, None, _nothing)
    assert (_folders(home), _version(home)) == ({"data"}, _OLD)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dump, "copy_roles", interrupt)
    with pytest.raises(KeyboardInterrupt):
        upgrade_home(home, None, _nothing)
    assert (_folders(home), server_processes(home)) == ({"data"}, [])
    with _old_server(home) as warehouse, psycopg.connect(warehouse.url, dbname="budget") as session:
        assert session.execute("select count(*) from plans").fetchone() == (3,)


def test_a_home_in_use_is_not_upgraded_and_one_in_upgrade_is_not_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "_PATIENCE_SECONDS", 0.1)
    with _old_server(home), monkeypatch.context() as patch:
        patch.delenv("PG_BINDIR")
        with pytest.raises(HomeInUseError, match="stop lcm ui"):
            upgrade_home(home, None, _nothing)
    with upgrade._only_user(ServerFolder(home)):
        with pytest.raises(EmbeddedPostgresError, match="is upgrading"), embedded_postgres(home):
            pass
        with pytest.raises(HomeInUseError):
            upgrade_home(home, None, _nothing)


def test_missing_programs_a_wrong_version_and_a_full_disk_are_found_before_it_begins(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(old_programs: Path | None) -> str:
        with pytest.raises((UsageError, EmbeddedPostgresError)) as refused:
            upgrade_home(home, old_programs, _nothing)
        assert _folders(home) == {"data"}
        return str(refused.value)

    assert "--from-bin" in refusal(tmp_path / "nothing")
    wrong = refusal(find_binaries(None))
    assert f"has the programs of PostgreSQL {_INSTALLED}" in wrong
    full = SimpleNamespace(free=100 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)
    assert "100 MB free" not in refusal(tmp_path / "nothing")
    assert "has 105 MB free" in refusal(None)
    (ServerFolder(home).data_folder / "PG_VERSION").write_text(f"{_INSTALLED + 1}\n")
    assert f"PostgreSQL {_INSTALLED + 1}, which is newer" in refusal(None)
