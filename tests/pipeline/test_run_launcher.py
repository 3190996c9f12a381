"""What the launcher does for runs of other homes and of commands, and for dead ones."""

import json
import socket
from collections.abc import Iterator
from functools import partial

import dagster as dg
import pytest
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus
from dagster._grpc.client import DagsterGrpcClient

from lcm_pipeline.orchestration.run_launcher import WatchedRunLauncher
from tests.ports import free_port


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to a server time out after a second, and none is asked to launch anything."""
    ask = partial(DagsterGrpcClient.can_cancel_execution, timeout=1)
    monkeypatch.setattr(
        DagsterGrpcClient, "can_cancel_execution", lambda client, wanted: ask(client, wanted)
    )
    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", lambda launcher, context: None)


def _launcher_of(instance: dg.DagsterInstance) -> WatchedRunLauncher:
    launcher = WatchedRunLauncher()
    launcher.register_instance(instance)
    return launcher


def _launched(instance: dg.DagsterInstance, port: int) -> dg.DagsterRun:
    """A started run that was launched from the instance, by a server with the port."""
    server = {"host": "127.0.0.1", "port": port}
    run = instance.add_run(
        dg.DagsterRun(
            job_name="sync_days",
            status=dg.DagsterRunStatus.STARTED,
            tags={".dagster/grpc_info": json.dumps(server)},
        )
    )
    _launcher_of(instance).launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    launched = instance.get_run_by_id(run.run_id)
    assert launched is not None
    return launched


def test_a_run_of_a_server_that_has_ended_is_gone(instance: dg.DagsterInstance) -> None:
    run = _launched(instance, free_port())
    health = _launcher_of(instance).check_run_worker_health(run)
    assert health.status is WorkerStatus.NOT_FOUND


def test_a_run_of_a_server_that_responds_late_is_not_started_twice(
    instance: dg.DagsterInstance,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run = _launched(instance, listener.getsockname()[1])
        health = _launcher_of(instance).check_run_worker_health(run)
    assert health.status is WorkerStatus.RUNNING


def test_a_run_of_another_machine_whose_server_cannot_be_reached_is_left_alone(
    instance: dg.DagsterInstance,
) -> None:
    run = _launched(instance, free_port())
    with dg.instance_for_test() as other:
        other.add_run(run)
        health = _launcher_of(other).check_run_worker_health(run)
    assert health.status is WorkerStatus.RUNNING


def test_a_run_of_another_home_is_marked_for_its_launcher(instance: dg.DagsterInstance) -> None:
    run = _launched(instance, free_port())
    with dg.instance_for_test() as other:
        other.add_run(run)
        launcher = _launcher_of(other)
        assert launcher.terminate(run.run_id)
        marked = other.get_run_by_id(run.run_id)
        assert marked
        assert marked.status is dg.DagsterRunStatus.CANCELING
        launcher.terminate_canceling(marked)


def test_a_run_that_a_command_executes_is_ended_where_it_runs(
    instance: dg.DagsterInstance,
) -> None:
    started = dg.DagsterRunStatus.STARTED
    run = instance.add_run(dg.DagsterRun(job_name="sync_days", status=started))
    with pytest.raises(dg.DagsterInvariantViolationError, match="Ctrl-C"):
        _launcher_of(instance).terminate(run.run_id)
    unchanged = instance.get_run_by_id(run.run_id)
    assert unchanged
    assert unchanged.status is started
