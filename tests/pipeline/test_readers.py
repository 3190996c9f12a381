"""A sync with several readers, whose steps run in Dagster's multiprocess executor."""

import os
import re
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest

from lcm_pipeline.feeds import CLIENT_FEEDS, FEEDS
from lcm_pipeline.orchestration import resources
from lcm_pipeline.orchestration.assets.feeds import feed_assets
from lcm_pipeline.orchestration.run_failures import RunFailedError, raise_failure
from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.processes import handling_signals
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse import preparation
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.migrations import NewerSchemaError
from lcm_pipeline.warehouse.preparation import prepare_warehouse
from tests.commands import run, running
from tests.conftest import Programme
from tests.databases import cut
from tests.oracle import assert_exact
from tests.syncing import MARCH
from tests.waiting import PATIENCE, wait_for

_READERS = 2


def _variables(source: RunningSimulator, warehouse: Warehouse, **others: str) -> dict[str, str]:
    """The settings of a sync whose readers are processes of their own."""
    return {
        "LCM_API_URL": source.url,
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_EXECUTOR": "multiprocess",
        "LCM_READERS": str(_READERS),
        **others,
    }


def test_with_several_readers_a_feed_is_start_readers_publish() -> None:
    for feed, assets in zip(FEEDS, feed_assets(_READERS), strict=True):
        assert {key.to_user_string() for key in assets.keys} == set(feed.assets)
        assert assets.partitions_def is not None
        if feed in CLIENT_FEEDS:
            assert isinstance(assets.node_def, dg.GraphDefinition)
            assert set(assets.node_def.node_dict) == {
                f"{feed.name}_start",
                *(f"{feed.name}_read_{number}" for number in range(1, _READERS + 1)),
                f"{feed.name}_publish",
            }
            # One whose process is killed runs once more, or nothing would be published.
            readers = [
                one
                for one in assets.node_def.node_defs
                if isinstance(one, dg.OpDefinition) and "read" in one.name
            ]
            policies = [reader.retry_policy for reader in readers]
            assert [policy and policy.max_retries for policy in policies] == [1] * _READERS
            specs = {spec.key.to_user_string(): spec for spec in assets.specs}
            assert all(spec.kinds == {"http", "postgres"} for spec in specs.values())
            assert {spec.group_name for spec in specs.values()} == {feed.asset_group}


@pytest.mark.slow
def test_readers_in_separate_processes_load_what_the_source_has(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    source = programme(clients=30)
    ended = run(
        tmp_path,
        "sync", "--from", str(MARCH.first), "--to", str(MARCH.last),
        **_variables(source, warehouse, LCM_MAX_RPS="500"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "favourites" in ended.stdout
    assert_exact(source, warehouse, last=MARCH.last)
    with dagster_instance(load_settings(home=tmp_path / "home")) as instance:
        [dagster_run] = instance.get_runs()
        read = {
            stats.step_key
            for stats in instance.get_run_step_stats(dagster_run.run_id)
            if "_read_" in stats.step_key and stats.status is not None
        }
        assert dagster_run.status == dg.DagsterRunStatus.SUCCESS
        assert len(read) == _READERS * len(CLIENT_FEEDS)
        for feed in FEEDS:
            for asset in feed.assets:
                days = instance.get_materialized_partitions(dg.AssetKey(asset))
                assert len(days) == len(MARCH), asset


@pytest.mark.slow
def test_readers_in_one_process_report_counts_and_pending_clients(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    source = programme(clients=6)
    failing = min(source.world.programme.customers)
    source.service.faults.set(
        [FaultRule(kind="sql_other", endpoint="OperationHistory", client=failing)]
    )
    ended = run(
        tmp_path,
        "sync", "--from", str(MARCH.first), "--to", str(MARCH.last),
        LCM_API_URL=source.url,
        LCM_DATABASE_URL=warehouse.url,
        LCM_READERS="2",
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    for feed in FEEDS:
        assert feed.name in ended.stdout


@pytest.mark.slow
def test_ctrl_c_ends_a_sync_whose_readers_are_stopped_and_the_next_one_goes_on(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    source = programme(clients=60, quirks=["latency_ms=40"])
    words = ("sync", "--from", str(MARCH.first), "--to", str(MARCH.last))
    variables = _variables(source, warehouse, LCM_CONCURRENCY="1")

    def is_reading() -> bool:
        counts = source.service.traffic.counts()["by_endpoint"]
        return bool(counts.get("OperationHistory", 0) >= 20)

    with running(tmp_path, *words, **variables) as command:
        wait_for(is_reading)
        # The readers, and the server that they were forked from.
        for process in _group_of(command.pid) - {command.pid}:
            os.kill(process, signal.SIGSTOP)
        command.send_signal(signal.SIGINT)
        assert command.wait(PATIENCE) == 130
    assert "run the same command again" in (tmp_path / "output").read_text()
    again = run(tmp_path, *words, **variables)
    assert again.returncode == 0, again.stderr
    assert_exact(source, warehouse, last=MARCH.last)


@pytest.mark.slow
def test_ctrl_c_while_the_server_of_the_readers_starts_ends_a_sync_without_a_traceback(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    source = programme(clients=10)
    variables = _variables(source, warehouse)
    with running(tmp_path, "sync", "--date", str(MARCH.last), **variables) as command:

        def has_server() -> bool:
            group = _group_of(command.pid)
            return any(b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in group)

        wait_for(has_server)
        # As a terminal sends it, to all processes.
        os.killpg(command.pid, signal.SIGINT)
        assert command.wait(PATIENCE) == 130
    output = (tmp_path / "output").read_text()
    assert "run the same command again" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_sigterm_is_never_ignored_during_a_sync_in_a_background_job(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    source = programme(clients=10)
    variables = _variables(source, warehouse, LCM_READERS="1")
    with ExitStack() as stack:
        # As a shell starts a background job. Where pytest runs in one, this process ignores SIGTERM
        # once Dagster has given it the handler of Ctrl-C, and a new process would inherit that.
        states = {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_DFL}
        with handling_signals(states):
            words = ("sync", "--date", str(MARCH.last))
            command = stack.enter_context(running(tmp_path, *words, **variables))
        while command.poll() is None:
            status = Path(f"/proc/{command.pid}/status").read_text()
            [ignored] = re.findall(r"SigIgn:\s+(\w+)", status)
            assert not int(ignored, 16) & 1 << (signal.SIGTERM - 1)
            time.sleep(0.05)
    assert command.returncode == 0, (tmp_path / "output").read_text()


def _group_of(leader: int) -> set[int]:
    """The processes in the process group of its leader."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pgid=,pid="], capture_output=True, text=True, check=True
    )
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    return {process for group, process in pairs if group == leader}


@dg.op
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dg.job(executor_def=dg.multiprocess_executor)
def deadly() -> None:
    die()


@pytest.mark.slow
def test_the_error_of_a_killed_reader_names_the_signal(tmp_path: Path) -> None:
    with dagster_instance(load_settings(home=tmp_path)) as instance:
        result = dg.execute_job(dg.reconstructable(deadly), instance=instance)
    with pytest.raises(RunFailedError, match=r"^die: its process was terminated by .*SIGKILL"):
        raise_failure(result, [], ())


def test_a_step_that_cannot_begin_is_reported_with_the_cause(tmp_path: Path) -> None:
    """A Celery worker hands over only Dagster's error, which names the resource."""

    @dg.resource
    def warehouse_of_another_version() -> None:
        raise NewerSchemaError("the warehouse was migrated by a newer version")

    @dg.op(required_resource_keys={"warehouse"})
    def read() -> None:
        pass

    @dg.job(resource_defs={"warehouse": warehouse_of_another_version})
    def reading() -> None:
        read()

    with dagster_instance(load_settings(home=tmp_path)) as instance:
        result = reading.execute_in_process(instance=instance, raise_on_error=False)
        not_begun = [
            entry.get_dagster_event()
            for entry in instance.all_logs(
                result.run_id, of_type=dg.DagsterEventType.RESOURCE_INIT_FAILURE
            )
        ]
    with pytest.raises(RunFailedError, match=r"^read: the warehouse was migrated by a newer"):
        raise_failure(result, [], (), not_begun=not_begun)


def test_a_step_begins_although_the_server_ends_its_session(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCM_DATABASE_URL", warehouse.url)
    monkeypatch.setenv("LCM_API_URL", "http://127.0.0.1:9/")
    attempts = []

    def prepare_in_a_restart(opened: Warehouse, settings: Settings) -> None:
        attempts.append(opened)
        if len(attempts) == 1:
            with opened.connect() as session:
                cut(warehouse, session.info.backend_pid)
                session.execute("select 1")
        prepare_warehouse(opened, settings)

    monkeypatch.setattr(preparation, "prepare_warehouse", prepare_in_a_restart)
    with dg.build_resources({"sync": resources.sync_resource}) as built:
        assert built.sync.warehouse.location == warehouse.location
    assert len(attempts) == 2
