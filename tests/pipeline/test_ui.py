"""`lcm ui` for a browser, a stranger and a service manager; one server for most tests."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any

import dagster as dg
import pytest

from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.orchestration.ui.programs import Program
from lcm_pipeline.orchestration.ui.supervisor import _running
from lcm_pipeline.ports import holder_of, listen_error
from lcm_pipeline.processes import parent_death_hook
from lcm_pipeline.settings import load_settings
from tests.commands import run, running
from tests.pipeline.ui_output import await_link, output_of, printed_link
from tests.ports import free_port, responds
from tests.waiting import PATIENCE, wait_for

LAUNCH = """mutation { launchPipelineExecution(executionParams: {
  selector: {repositoryName: "__repository__",
             repositoryLocationName: "lcm_pipeline.definitions", pipelineName: "delete_old_runs"},
  mode: "default", runConfigData: {}}) { __typename } }"""
EVIL = f"""<!doctype html><title>evil</title><body>
<img src="PAGE/graphql?query={{QUERY}}">
<form id="form" target="frame" action="PAGE/graphql" method="post">
  <textarea name="query">{LAUNCH}</textarea></form><iframe name="frame"></iframe>
<script>
document.getElementById("form").submit();
const body = JSON.stringify({{query: document.forms[0].query.value}});
const requests = [
  fetch("PAGE/graphql", {{method: "POST", mode: "no-cors", credentials: "include", body}}),
  fetch("PAGE/graphql", {{method: "POST", credentials: "include", body,
                          headers: {{"content-type": "application/json"}}}}),
];
Promise.allSettled(requests).then(() => setTimeout(() => document.title = "done", 2000));
</script>"""


@dataclass
class Served:
    """A running `lcm ui`. link: the printed address, with the token."""

    folder: Path
    page: str
    link: str
    process: subprocess.Popen[bytes]

    @property
    def token(self) -> str:
        return self.link.rpartition("token=")[2]

    def runs(self) -> int:
        """The number of runs in its home."""
        with dagster_instance(load_settings(_env_file=None, home=self.folder / "home")) as instance:
            return instance.get_runs_count()

    def request(self, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """Send a request, with the body as JSON; returns the status and text of the response."""
        data = None if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            named.setdefault("content-type", "application/json")
        request = urllib.request.Request(self.page + path, data, named)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`lcm ui` with a home of its own."""
    folder = tmp_path_factory.mktemp("ui")
    port = free_port()
    with running(folder, "ui", "--port", str(port)) as process:
        link = await_link(folder)
        yield Served(folder, f"http://127.0.0.1:{port}", link, process)


def test_the_first_line_comes_before_the_page_is_served(tmp_path: Path) -> None:
    with running(tmp_path, "ui", "--port", str(free_port())):
        lines = wait_for(lambda: output_of(tmp_path).splitlines())
    assert lines[:1] == ["lcm: starting Dagster's web server and Dagster's daemon"]


@pytest.mark.skipif(listen_error("::1", 0) is not None, reason="the machine has no IPv6")
@pytest.mark.parametrize("host", ["::", pytest.param("::1", marks=pytest.mark.slow)])
def test_the_link_of_a_page_on_ipv6_can_be_opened(host: str, tmp_path: Path) -> None:
    port = str(free_port())
    options = ("--only", "web", "--host", host, "--port", port)
    with running(tmp_path, "ui", *options):
        link = await_link(tmp_path)
        assert link.startswith(f"http://[::1]:{port}/")
        assert responds(link)
        assert run(tmp_path, "ui", "--only", "web", "--check").returncode == 0


@pytest.mark.slow
def test_without_the_token_everything_is_read_only(served: Served) -> None:
    assert served.request("/server_info")[0] == 200
    status, response = served.request("/graphql", {"query": "{ version }"})
    assert (status, json.loads(response)["data"].keys()) == (200, {"version"})
    unreadable = ("{ bro ken", "{ a " * 5_000)
    for query in (LAUNCH, "query A { version } " + LAUNCH, "subscription { x }", *unreadable):
        status, response = served.request("/graphql", {"query": query})
        assert status == 403, query[:80]
    assert "link that lcm ui prints" in response
    assert served.request("/graphql", [{"query": "{ version }"}, {"query": LAUNCH}])[0] == 403
    assert served.request("/report_asset_materialization/operations", {})[0] == 403
    assert served.request("/graphql", {"query": LAUNCH}, Authorization="Bearer wrong")[0] == 403
    assert served.runs() == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_other_hosts_and_other_sites_are_refused_even_with_the_token(
    headers: dict[str, str], served: Served
) -> None:
    identity = {"Authorization": f"Bearer {served.token}"}
    for body in (None, {"query": LAUNCH}):
        status, _ = served.request("/graphql?query=%7Bversion%7D", body, **identity, **headers)
        assert status == 403
    assert served.runs() == 0


def test_a_get_changes_nothing_even_with_the_token(served: Served) -> None:
    identity = {"Authorization": f"Bearer {served.token}"}
    query = urllib.parse.quote(LAUNCH)
    assert served.request(f"/graphql?query={query}", **identity)[0] == 403
    assert served.request("/graphql?query=%7Bversion%7D", **identity)[0] == 200
    assert served.runs() == 0


def test_another_website_cannot_start_a_run_and_the_owner_can(served: Served) -> None:
    chromium = which("chromium")
    if chromium is None:
        pytest.skip("the system has no chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with _website(served.page) as evil, playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        # This browser has the token, as the owner's does.
        context = browser.new_context()
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.goto(served.link)
        assert "token" not in page.url
        assert [cookie["sameSite"] for cookie in context.cookies()] == ["Strict"]
        refused: list[int] = []
        context.on("response", lambda response: "/graphql" in response.url
                   and refused.append(response.status))  # fmt: skip
        stranger = context.new_page()
        page.close()
        refused.clear()
        stranger.goto(evil)
        stranger.wait_for_function("document.title == 'done'")
        assert refused
        assert set(refused) == {403}
        assert served.runs() == 0
        stranger.goto(served.page)
        launched = stranger.evaluate(
            "query => fetch('/graphql', {method: 'POST', body: JSON.stringify({query}),"
            " headers: {'content-type': 'application/json'}}).then(r => r.json())",
            LAUNCH,
        )
        assert "errors" not in launched, launched
        assert served.runs() == 1
        # Dagster's newsletter dialog, which requests an e-mail address, is not shown.
        assert stranger.get_by_text("newsletter").count() == 0
        browser.close()


def _website(page: str) -> Any:
    return _Website(EVIL.replace("PAGE", page).replace("{QUERY}", urllib.parse.quote(LAUNCH)))


class _Website:
    """Another website, on another host name of the loopback interface."""

    def __init__(self, text: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://localhost:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.slow
def test_a_second_one_on_the_same_home_is_refused_and_names_the_first(served: Served) -> None:
    ended = run(served.folder, "ui", "--port", str(free_port()))
    assert ended.returncode == 2
    assert served.page in ended.stderr
    assert str(served.process.pid) in ended.stderr


def test_a_busy_port_is_an_error_that_names_the_process_using_it(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert "python" in (holder_of(port) or "") or "pytest" in (holder_of(port) or "")
        ended = run(tmp_path, "ui", "--port", str(port))
    assert ended.returncode == 2
    assert f"port {port}" in ended.stderr
    assert "(pid " in ended.stderr
    assert "--port" in ended.stderr


def test_a_health_check_passes_while_both_run(served: Served) -> None:
    port = served.page.rpartition(":")[2]
    _await_health(served.folder, "--port", port)
    # Whatever port it runs on.
    assert run(served.folder, "ui", "--check").returncode == 0


@pytest.mark.slow
def test_a_health_check_reports_what_does_not_run(tmp_path: Path) -> None:
    web = run(tmp_path, "ui", "--check", "--only", "web", "--port", str(free_port()))
    assert web.returncode == 1
    assert "web server does not respond at http://127.0.0.1:" in web.stderr
    daemon = run(tmp_path, "ui", "--check", "--only", "daemon")
    assert daemon.returncode == 1
    assert "daemon does not run: no report of" in daemon.stderr


@pytest.mark.slow
def test_the_daemon_can_run_without_the_web_server(tmp_path: Path) -> None:
    with running(tmp_path, "ui", "--only", "daemon") as daemon:
        _await_health(tmp_path, "--only", "daemon")
        second = run(tmp_path, "ui", "--only", "daemon")
        assert (second.returncode, "serves" in second.stderr) == (2, True)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(PATIENCE) == 0, output_of(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the children from /proc")
def test_ctrl_c_while_the_programs_start_prints_no_traceback(tmp_path: Path) -> None:
    with running(tmp_path, "ui", "--port", str(free_port())) as stopped:
        wait_for(
            lambda: any("site-packages" in _maps_of(pid) for pid in _children_of(stopped.pid)),
            lambda: output_of(tmp_path),
        )
        # As a terminal does: to all processes of the group.
        os.killpg(stopped.pid, signal.SIGINT)
        assert stopped.wait(PATIENCE) == 0
    lines = output_of(tmp_path).splitlines()
    assert lines[0].startswith("lcm: starting")
    assert lines[1:] == ["Stopping Dagster"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the children from /proc")
def test_a_code_server_that_the_daemon_no_longer_needs_ends_silently(tmp_path: Path) -> None:
    """Dagster replaces it each minute; here the stopped daemon sends it no heartbeat."""
    with running(tmp_path, "ui", "--only", "daemon") as serving:
        _await_health(tmp_path, "--only", "daemon")
        [daemon] = _children_of(serving.pid)
        [code_server] = _children_of(daemon)
        os.kill(daemon, signal.SIGSTOP)
        try:
            # One that has ended waits for its parent, without memory.
            wait_for(
                lambda: not _maps_of(code_server),
                lambda: "the code server goes on without a heartbeat",
            )
        finally:
            os.kill(daemon, signal.SIGCONT)
        assert "heartbeat" not in output_of(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the children from /proc")
def test_the_daemon_ends_when_lcm_ui_is_killed(tmp_path: Path) -> None:
    """A daemon that outlived it would keep starting the schedules of that home."""
    with running(tmp_path, "ui", "--only", "daemon") as killed:
        # Once gRPC is loaded, the daemon has really started.
        daemons = wait_for(
            lambda: [pid for pid in _children_of(killed.pid) if "cygrpc" in _maps_of(pid)],
            lambda: output_of(tmp_path),
        )
        killed.kill()
    try:
        wait_for(
            lambda: not any(_maps_of(pid) for pid in daemons),
            lambda: "the daemon outlived lcm ui",
        )
    finally:
        for pid in daemons:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="reads from /proc whether it runs")
def test_the_code_server_of_a_killed_web_server_ends(tmp_path: Path) -> None:
    script = f"""
import os, pathlib, signal, subprocess
signal.pthread_sigmask(signal.SIG_SETMASK, ())
child = subprocess.Popen(["sleep", "100000"])
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))
os.kill(os.getpid(), signal.SIGKILL)
"""
    commands = {Program.WEB: [sys.executable, "-c", script]}
    with _running(commands, dict(os.environ), None) as processes:
        processes[Program.WEB].wait(PATIENCE)
    code_server = int((tmp_path / "pid").read_text())
    wait_for(lambda: not _maps_of(code_server), lambda: "the code server goes on")


@pytest.mark.slow
def test_files_of_the_folder_are_not_taken_for_modules(tmp_path: Path) -> None:
    """Such as the types.py of an analyst who runs lcm ui where the settings are."""
    for name in ("types", "gql"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was imported')")
    with running(tmp_path, "ui", "--port", str(free_port())) as process:
        wait_for(lambda: printed_link(tmp_path) or process.poll() is not None)
        assert printed_link(tmp_path), output_of(tmp_path)


@pytest.mark.slow
def test_a_run_that_died_with_the_whole_machine_is_marked_as_failed(tmp_path: Path) -> None:
    """Started for ever, it would keep each later sync waiting. Runs of commands are left alone."""
    settings = load_settings(_env_file=None, home=tmp_path / "home")
    of_before = {"dagster/max_retries": "0", "lcm/home": "this", ".dagster/grpc_info": json.dumps(
        {"host": "localhost", "socket": str(tmp_path / "gone")})}  # fmt: skip
    started = dg.DagsterRunStatus.STARTED
    with dagster_instance(settings) as instance:
        dead, own = (
            instance.add_run(dg.DagsterRun(job_name="sync_days", status=started, tags=tags)).run_id
            for tags in (of_before, {})
        )
    (tmp_path / "home/dagster/home_id").write_text("this")
    with (
        running(tmp_path, "ui", "--only", "daemon"),
        dagster_instance(settings) as instance,
    ):
        wait_for(lambda: _status(instance, dead) != started, lambda: output_of(tmp_path))
        assert _status(instance, dead) == dg.DagsterRunStatus.FAILURE
        assert _status(instance, own) == started


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run_id)
    assert found
    return found.status


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_a_program_whose_parent_was_killed_during_its_start_does_not_begin() -> None:
    for parent, output in ((os.getpid(), "1\n"), (2**31 - 1, "")):
        started = subprocess.run(
            [sys.executable, "-c", "print(1)"], preexec_fn=parent_death_hook(parent, signal.SIGINT),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (started.stdout, started.returncode) == (output, 0 if output else 1)


def _children_of(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _maps_of(pid: int) -> str:
    """The memory maps of a process; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/maps").read_text()
    return ""


def _await_health(folder: Path, *words: str) -> None:
    """Repeat the health check until it passes, as Docker does while a container starts."""

    def check() -> subprocess.CompletedProcess[str]:
        return run(folder, "ui", "--check", *words)

    wait_for(lambda: check().returncode == 0, lambda: check().stderr)


@pytest.mark.slow
def test_lcm_ui_fails_when_its_daemon_dies(served: Served) -> None:
    """Must be the last test, as it ends the shared server."""
    found = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(served.process.pid)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    [daemon] = [line.split()[0] for line in found.stdout.splitlines() if "dagster._daemon" in line]
    subprocess.run(["kill", "-9", daemon], check=True)
    assert served.process.wait(PATIENCE) == 1
    assert "Dagster's daemon ended by itself" in output_of(served.folder)
