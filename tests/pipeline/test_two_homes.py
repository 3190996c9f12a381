"""A web server and a daemon of different homes, as in two containers, with one Dagster storage."""

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import LCM, environment
from tests.docs.checkout import free_port

_LAUNCH = """mutation { launchPipelineExecution(executionParams: {
  selector: {repositoryName: "__repository__", pipelineName: "sync_clients_only",
             repositoryLocationName: "lcm_pipeline.definitions"},
  executionMetadata: {tags: [{key: "dagster/partition", value: "2026-03-01"}]},
  mode: "default", runConfigData: {}}) { ... on LaunchRunSuccess { run { runId } } } }"""
_TERMINATE = """mutation { terminateRun(runId: "RUN") { __typename } }"""
_STATUS = """{ runOrError(runId: "RUN") { ... on Run { status } } }"""


@pytest.fixture
def silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """The address of an API that never responds, and its open connections."""
    connections: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connections.append(listener.accept()[0])
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
        listener.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            connection.close()


@pytest.mark.slow
def test_a_web_server_terminates_a_run_that_the_daemon_of_another_home_launched(
    tmp_path: Path, warehouse: Warehouse, silent: tuple[str, list[socket.socket]]
) -> None:
    """Its process ends, too: one that only is marked as cancelled would go on reading."""
    api, connections = silent
    shared = {
        "LCM_API_URL": api,
        "LCM_TIMEOUT": "3600",
        "LCM_START_DATE": "2026-03-01",
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_DAGSTER_DATABASE_URL": warehouse.url,
    }
    with ExitStack() as stack:
        daemon, web = (tmp_path / name for name in ("daemon", "web"))
        for folder, words in ((daemon, ["daemon"]), (web, ["web", "--port", str(free_port())])):
            folder.mkdir()
            with (folder / "output").open("w") as output:
                process = subprocess.Popen(
                    [LCM, "ui", "--only", *words],
                    env=environment(folder, **shared), cwd=folder, stdout=output, stderr=output,
                )  # fmt: skip
            stack.callback(process.wait, 120)
            stack.callback(process.send_signal, signal.SIGINT)
        page, token = _wait_for(lambda: _link(web), lambda: (web / "output").read_text())

        def ask(query: str) -> Any:
            request = urllib.request.Request(
                page + "/graphql",
                json.dumps({"query": query}).encode(),
                {"content-type": "application/json", "Authorization": f"Bearer {token}"},
            )
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["data"]

        def status() -> str:
            found: str = ask(_STATUS.replace("RUN", run_id))["runOrError"]["status"]
            return found

        run_id = ask(_LAUNCH)["launchPipelineExecution"]["run"]["runId"]
        _wait_for(lambda: connections, lambda: f"{status()} {(daemon / 'output').read_text()}")
        assert status() == "STARTED"
        assert ask(_TERMINATE.replace("RUN", run_id)) == {
            "terminateRun": {"__typename": "TerminateRunSuccess"}
        }
        for connection in connections:
            connection.settimeout(240)
            while connection.recv(65536):
                pass
        _wait_for(lambda: status() == "CANCELED", status)


def _link(folder: Path) -> tuple[str, str] | None:
    """The address and the token that `lcm ui` printed in a folder; None before."""
    found = re.search(r"(http://\S+)/\?token=(\S+)", (folder / "output").read_text())
    return (found[1], found[2]) if found else None


def _wait_for(condition: Callable[[], Any], problem: Callable[[], str]) -> Any:
    """Wait until a condition is true; returns its value."""
    deadline = time.monotonic() + 240
    while not (value := condition()):
        assert time.monotonic() < deadline, problem()
        time.sleep(0.5)
    return value
