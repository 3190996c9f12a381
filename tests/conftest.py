"""Shared fixtures: a real Postgres, a migrated database cloned per test, a programme over HTTP."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.migrations import migrate
from tests.databases import address_of, cloned_warehouse

_MEMORY = Path("/dev/shm")
# For the servers of a few processes.
_MEMORY_BYTES = 6 * 2**30

Programme = Callable[..., RunningSimulator]
MakeSettings = Callable[..., Settings]


# First, as pytest deselects by `-m slow` in this hook too.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases after the first ones of a sampled test slow, and run their files first.

    So no process starts a slow test at the very end.
    """
    cases: Counter[str] = Counter()
    for item in items:
        if sampled := item.get_closest_marker("sampled"):
            test = item.nodeid.partition("[")[0]
            cases[test] += 1
            if cases[test] > sampled.args[0]:
                item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings of the environment and of a .env file of the checkout from tests."""
    for name in list(os.environ):
        if name.startswith(("LCM_", "DAGSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LCM_HOME", str(tmp_path / "home"))


@contextmanager
def _server_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory if there is room: each test creates and removes a thousand files."""
    if not (_MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES):
        yield tmp_path_factory.mktemp("postgres")
        return
    with tempfile.TemporaryDirectory(prefix="lcm-test-", dir=_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an embedded Postgres that runs for the whole session."""
    with _server_folder(tmp_path_factory) as folder, embedded_postgres(folder) as url:
        # Each test clones and drops a database of 700 files, mostly waiting for the disk. Without
        # fsync only a crash of the machine loses data, not that of a server or a backend.
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("alter system set fsync = off")
            session.execute("alter system set full_page_writes = off")
            session.execute("alter system set max_wal_size = '256MB'")
            session.execute("select pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The name of a migrated database that tests clone and never change."""
    return _create_database(postgres, "template_migrated")


@pytest.fixture
def warehouse(postgres: str, template: str) -> Iterator[Warehouse]:
    """A migrated, empty warehouse for one test."""
    with cloned_warehouse(postgres, template) as warehouse:
        yield warehouse


@pytest.fixture
def programme() -> Iterator[Programme]:
    """A function that starts simulated programmes; they are stopped after the test."""
    running: list[RunningSimulator] = []

    def start(
        *,
        start: date = date(2026, 3, 1),
        now: datetime = datetime(2026, 3, 31, 12),
        clients: int = 60,
        seed: int = 7,
        **fields: Any,
    ) -> RunningSimulator:
        config = build_config(start=start, now=now, clients=clients, seed=seed, **fields)
        running.append(RunningSimulator(config))
        return running[-1]

    yield start
    for simulator in running:
        simulator.stop()


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """A function that makes settings for a programme and a warehouse, as the environment would."""

    def make(programme: RunningSimulator, warehouse: Warehouse, **overrides: Any) -> Settings:
        fields = {"home": tmp_path / "home", "api_url": programme.url, "concurrency": 8}
        return load_settings(**{**fields, "database_url": warehouse.url, **overrides})

    return make


def _create_database(postgres: str, name: str) -> str:
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute(SQL("create database {}").format(Identifier(name)))
    migrate(Warehouse(address_of(postgres, name)))
    return name
