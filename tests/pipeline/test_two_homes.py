"""A web server and a daemon of different homes, as in two containers, with one Dagster storage."""

import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import running
from tests.pipeline.ui_output import await_link, output_of
from tests.ports import free_port
from tests.waiting import PATIENCE, wait_for

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
            stack.enter_context(running(folder, "ui", "--only", *words, **shared))
        page, _, token = await_link(web).partition("/?token=")

        def ask(query: str) -> Any:
            request = urllib.request.Request(
                page + "/graphql",
                json.dumps({"query": query}).encode(),
                {"content-type": "application/json", "Authorization": f"Bearer {token}"},
            )
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return json.load(response)["data"]

        def status() -> str:
            found: str = ask(_STATUS.replace("RUN", run_id))["runOrError"]["status"]
            return found

        run_id = ask(_LAUNCH)["launchPipelineExecution"]["run"]["runId"]
        wait_for(lambda: connections, lambda: f"{status()} {output_of(daemon)}")
        assert status() == "STARTED"
        assert ask(_TERMINATE.replace("RUN", run_id)) == {
            "terminateRun": {"__typename": "TerminateRunSuccess"}
        }
        for connection in connections:
            connection.settimeout(240)
            while connection.recv(65536):
                pass
        wait_for(lambda: status() == "CANCELED", status)
