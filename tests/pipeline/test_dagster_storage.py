"""Dagster's storage: where it is, what is deleted from it, and what is never written to it."""

import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance import InstanceRef

from lcm_pipeline.definitions import defs
from lcm_pipeline.orchestration.event_log import BatchingEventLog
from lcm_pipeline.orchestration.storage.instance import (
    DagsterStorageError,
    DagsterStorageLostError,
    dagster_instance,
    instance_home,
)
from lcm_pipeline.orchestration.storage.retention import KEPT_DAYS, delete_old_days, delete_old_runs
from lcm_pipeline.orchestration.storage.run_logs import read_run_log
from lcm_pipeline.orchestration.ui.supervisor import ui_variables
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.connection import Warehouse
from tests.pipeline.dagster_runs import TABLES, ScriptedRuns, days, materialized

LATER = datetime.now(UTC) + timedelta(days=KEPT_DAYS, hours=1)
SECRET = "tr0ub4dor"


@pytest.fixture
def settings(request: pytest.FixtureRequest, warehouse: Warehouse, tmp_path: Path) -> Settings:
    """SQLite, or the database of the test's warehouse for the parameter "postgres"."""
    url = warehouse.url if getattr(request, "param", "sqlite") == "postgres" else None
    return load_settings(home=tmp_path / "home", dagster_database_url=url)


on_both = pytest.mark.parametrize(
    "settings", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture
def scripted(settings: Settings, warehouse: Warehouse) -> ScriptedRuns:
    return ScriptedRuns(settings, warehouse)


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with dagster_instance(settings) as instance:
        yield instance


def latest(instance: dg.DagsterInstance, table: str) -> dg.AssetMaterialization:
    event = instance.get_latest_materialization_event(dg.AssetKey(table))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization


def stored_materializations(instance: dg.DagsterInstance, table: str) -> list[str]:
    found = instance.fetch_materializations(dg.AssetKey(table.split("/")), limit=1000)
    return sorted(str(record.partition_key) for record in found.records)


@on_both
def test_each_day_of_a_range_is_stored_once_with_its_metadata(
    instance: dg.DagsterInstance, scripted: ScriptedRuns
) -> None:
    week = days("2026-03-01", "2026-03-07")
    scripted.run(instance, week)
    [run] = instance.get_runs()
    for table in TABLES:
        assert stored_materializations(instance, table) == [str(day) for day in week.days()]
        assert latest(instance, table).metadata["rows written"].value == 15
    planned = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    ).records
    facts = [record for record in planned if record.asset_key.path[-1] in TABLES]
    assert len(facts) == len(TABLES) * 7


@on_both
def test_a_dagster_command_in_the_checkout_records_where_lcm_does(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without DAGSTER_HOME, Dagster uses a temporary folder and the checkout's dagster.yaml."""
    monkeypatch.setenv("LCM_HOME", str(settings.home_path))
    if settings.dagster_database_url is not None:
        url = settings.dagster_database_url.get_secret_value()
        monkeypatch.setenv("LCM_DAGSTER_DATABASE_URL", url)
    checkout = Path(__file__).parents[2]
    reference = InstanceRef.from_dir(str(tmp_path), config_dir=str(checkout))
    with dg.DagsterInstance.from_ref(reference) as temporary:
        job = dg.GraphDefinition(name="typed_by_hand").to_job()
        job.execute_in_process(instance=temporary)
    with dagster_instance(settings) as instance:
        [run] = instance.get_runs()
        assert run.job_name == "typed_by_hand"
        assert instance.all_logs(run.run_id)


@on_both
@pytest.mark.slow
def test_an_old_run_is_forgotten_and_its_days_stay_synced(
    instance: dg.DagsterInstance, scripted: ScriptedRuns
) -> None:
    scripted.run(instance, days("2026-03-01", "2026-03-02"))
    scripted.run(instance, days("2026-03-02", "2026-03-03"))
    assert delete_old_runs(instance, now=datetime.now(UTC)) == 0
    assert delete_old_runs(instance, now=LATER) == 2
    assert instance.get_runs() == []
    for table in TABLES:
        three = ["2026-03-01", "2026-03-02", "2026-03-03"]
        assert stored_materializations(instance, table) == three
        assert materialized(instance, table) == set(three)
        assert latest(instance, table).partition == "2026-03-03"
    key = dg.AssetCheckKey(dg.AssetKey("operations"), "totals_agree")
    assert len(instance.event_log_storage.get_asset_check_execution_history(key, limit=9)) == 1
    # A mart has no days: only its newest materialization is kept.
    assert stored_materializations(instance, "mart/sales_daily") == ["None"]
    assert delete_old_runs(instance, now=LATER) == 0


@pytest.mark.slow
@on_both
def test_days_past_their_retention_leave_the_event_log(
    instance: dg.DagsterInstance, scripted: ScriptedRuns
) -> None:
    scripted.run(instance, days("2026-02-27", "2026-03-02"))
    delete_old_runs(instance, now=LATER)
    delete_old_days(instance, date(2026, 3, 1))
    for table in TABLES:
        assert stored_materializations(instance, table) == ["2026-03-01", "2026-03-02"]
        assert latest(instance, table).partition == "2026-03-02"


@pytest.mark.slow
def test_a_day_synced_again_after_a_run_was_forgotten_is_new(
    instance: dg.DagsterInstance, scripted: ScriptedRuns
) -> None:
    scripted.run(instance, days("2026-03-01"))
    delete_old_runs(instance, now=LATER)
    scripted.run(instance, days("2026-03-01"))
    assert len(instance.get_runs()) == 1
    assert stored_materializations(instance, "leads") == ["2026-03-01", "2026-03-01"]


@pytest.mark.slow
def test_a_run_that_has_not_ended_is_never_forgotten(
    instance: dg.DagsterInstance, scripted: ScriptedRuns
) -> None:
    def script(feed: str) -> None:
        if feed == "leads":
            assert delete_old_runs(instance, now=LATER) == 0

    scripted.run(instance, days("2026-03-01"), script)
    assert delete_old_runs(instance, now=LATER) == 1


@pytest.mark.slow
def test_forgetting_frees_disk_space(tmp_path: Path, warehouse: Warehouse) -> None:
    scripted = ScriptedRuns(load_settings(home=tmp_path / "home"), warehouse)
    with dagster_instance(scripted.settings) as instance:
        assert isinstance(instance.event_log_storage, BatchingEventLog)
        scripted.run(instance, days("2026-03-01"))
        delete_old_runs(instance, now=LATER)
    kept = (instance_home(scripted.settings) / "history" / "runs").iterdir()
    assert {path.name for path in kept} <= {"index.db", "index.db-wal", "index.db-shm"}


def test_the_event_log_needs_no_room_for_temporary_files(tmp_path: Path) -> None:
    with dagster_instance(load_settings(home=tmp_path / "home")) as instance:
        log = instance.event_log_storage
        assert isinstance(log, BatchingEventLog)
        in_memory = 2
        for connecting in (log.run_connection("a"), log.index_connection()):
            with connecting as connection:
                found = connection.exec_driver_sql("pragma temp_store").scalar()
                assert found == in_memory


@pytest.mark.slow
def test_the_nightly_job_forgets(instance: dg.DagsterInstance, scripted: ScriptedRuns) -> None:
    scripted.run(instance, days("2026-03-01"))
    done = defs.resolve_job_def("delete_old_runs").execute_in_process(instance=instance)
    assert done.success
    assert len(instance.get_runs()) == 2


def test_the_log_of_a_failed_run_quotes_no_row(tmp_path: Path) -> None:
    @dg.op
    def insert() -> None:
        raise ValueError("duplicate key\nDETAIL:  Key (phone)=(9001234567) already exists.")

    @dg.job
    def failing() -> None:
        insert()

    settings = load_settings(home=tmp_path)
    with dagster_instance(settings) as instance:
        failing.execute_in_process(instance=instance, raise_on_error=False)
    texts = [entry.text for entry in read_run_log(settings, None, logging.DEBUG).entries]
    assert any("duplicate key" in text for text in texts)
    assert not any("9001234567" in text for text in texts)


def test_the_log_of_a_failed_run_names_what_to_do_and_not_only_the_lowest_cause(
    tmp_path: Path,
) -> None:
    @dg.op
    def read() -> None:
        cause = ConnectionRefusedError(111, "Connect call failed")
        raise SyncError("the service gives no usable response: a rerun may help") from cause

    @dg.job
    def failing() -> None:
        read()

    settings = load_settings(home=tmp_path)
    with dagster_instance(settings) as instance:
        failing.execute_in_process(instance=instance, raise_on_error=False)
    texts = [entry.text for entry in read_run_log(settings, None, logging.DEBUG).entries]
    assert any("a rerun may help" in text for text in texts)


def test_the_log_of_a_run_that_could_not_begin_says_why(settings: Settings) -> None:
    @dg.resource
    def sync(_context: dg.InitResourceContext) -> None:
        raise ConnectionError("the warehouse does not respond")

    @dg.op(required_resource_keys={"sync"})
    def read() -> None:
        """Never begins."""

    @dg.job(resource_defs={"sync": sync})
    def failing() -> None:
        read()

    with dagster_instance(settings) as instance:
        failing.execute_in_process(instance=instance, raise_on_error=False)
    texts = [entry.text for entry in read_run_log(settings, None, logging.DEBUG).entries]
    assert any("the warehouse does not respond" in text for text in texts)


def test_opening_the_storage_leaves_the_environment_as_it_was(settings: Settings) -> None:
    before = dict(os.environ)
    with dagster_instance(settings):
        assert os.environ["DAGSTER_HOME"] == str(instance_home(settings))
    assert dict(os.environ) == before


@pytest.mark.slow
def test_a_password_is_in_the_environment_of_dagster_and_in_no_file(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute(f"create role dagster superuser login password '{SECRET}'")
    try:
        url = warehouse.url.replace("postgresql://lcm@", f"postgresql://dagster:{SECRET}@")
        settings = load_settings(home=tmp_path / "home", dagster_database_url=url)
        with dagster_instance(settings) as instance:
            ScriptedRuns(settings, warehouse).run(instance, days("2026-03-01"))
        added = ui_variables(settings)
    finally:
        with warehouse.connect(autocommit=True) as session:
            session.execute("drop owned by dagster")
            session.execute("drop role dagster")
    assert SECRET in added["DAGSTER_STORAGE_URL"]
    files = [path for path in instance_home(settings).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET in path.read_text(errors="replace")]


def test_an_unreachable_database_is_reported_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://me:{SECRET}@127.0.0.1:1/dagster"
    settings = load_settings(home=tmp_path, dagster_database_url=url)
    with (
        pytest.raises(DagsterStorageError, match="LCM_DAGSTER_DATABASE_URL") as refused,
        dagster_instance(settings),
    ):
        pass
    assert SECRET not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)
    # libpq's text has two lines.
    assert not set("\n\t") & set(str(refused.value))


def _open_from(home: Path, url: str, ready: Barrier, caplog: pytest.LogCaptureFixture) -> None:
    ready.wait()
    with dagster_instance(load_settings(home=home, dagster_database_url=url)) as instance:
        assert instance.get_runs() == []
    # Dagster repeats a creation that another one disturbed, unless it failed in the wrong moment.
    assert "Retrying failed database creation" not in caplog.text


def test_machines_that_start_at_once_create_the_tables_of_a_new_database_once(
    warehouse: Warehouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processes = get_context("fork")
    ready = processes.Barrier(4)
    machines = [
        processes.Process(target=_open_from, args=(tmp_path / name, warehouse.url, ready, caplog))
        for name in "abcd"
    ]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join()
    assert [machine.exitcode for machine in machines] == [0, 0, 0, 0]


def test_a_home_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DagsterStorageError, match="LCM_HOME"),
        dagster_instance(load_settings(home=tmp_path / "file")),
    ):
        pass


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Let writes of this process fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_becomes_full_is_reported_with_how_to_resume(tmp_path: Path) -> None:
    opened, unopened = load_settings(home=tmp_path / "1"), load_settings(home=tmp_path / "2")
    with (
        pytest.raises(DagsterStorageLostError, match="run the same command again"),
        dagster_instance(opened) as instance,
        no_file_longer_than(1_000),
    ):
        instance.create_run_for_job(defs.resolve_job_def("delete_old_runs"))
    with (
        pytest.raises(DagsterStorageLostError, match="check the disk and its free space"),
        no_file_longer_than(100_000),
        dagster_instance(unopened),
    ):
        pass


def test_the_web_interface_uses_the_home_of_the_settings_and_runs_one_sync_at_a_time(
    settings: Settings,
) -> None:
    added = ui_variables(settings)
    assert added["DAGSTER_HOME"] == str(instance_home(settings))
    with dagster_instance(settings) as instance:
        [pool] = instance.event_log_storage.get_pool_limits()
        assert (pool.name, pool.limit) == ("loyalty_api", 1)
        assert not instance.telemetry_enabled
