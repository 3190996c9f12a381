"""Whether the process of a run is alive, as the launcher tells the daemon."""

import json
import socket
from collections.abc import Iterator
from functools import partial

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._grpc.client import DagsterGrpcClient

from lcm_pipeline.orchestration.run_launcher import WatchedRunLauncher


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def _status_of_run(
    instance: dg.DagsterInstance, port: int, monkeypatch: pytest.MonkeyPatch
) -> WorkerStatus:
    """The status of a run whose server had the port, if a request times out after a second."""
    impatient = partial(DagsterGrpcClient.can_cancel_execution, timeout=1)
    monkeypatch.setattr(
        DagsterGrpcClient, "can_cancel_execution", lambda client, wanted: impatient(client, wanted)
    )
    server = {"host": "127.0.0.1", "port": port}
    run = instance.add_run(
        dg.DagsterRun(
            job_name="sync_days",
            status=dg.DagsterRunStatus.STARTED,
            tags={".dagster/grpc_info": json.dumps(server)},
        )
    )
    launcher = WatchedRunLauncher()
    launcher.register_instance(instance)
    return launcher.check_run_worker_health(run).status


def test_a_run_of_a_server_that_has_ended_is_gone(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert _status_of_run(instance, port, monkeypatch) is WorkerStatus.NOT_FOUND


def test_a_run_of_a_server_that_responds_late_is_not_started_twice(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert _status_of_run(instance, port, monkeypatch) is WorkerStatus.RUNNING
