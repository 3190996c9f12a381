"""Runs Dagster's web server and daemon as two processes that end together, or one of them.

Each may run once per home; a lock ensures that. A port that is in use is reported before anything
starts.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.orchestration.executors import require_executor
from lcm_pipeline.orchestration.resources import POOL
from lcm_pipeline.orchestration.storage.instance import (
    CODE_LOCATION,
    dagster_instance,
    instance_home,
    instance_variables,
)
from lcm_pipeline.orchestration.storage.local_runs import fail_dead_runs
from lcm_pipeline.orchestration.ui.programs import BOTH, Program
from lcm_pipeline.ports import holder_of, listen_error, url_host
from lcm_pipeline.processes import STOP_SIGNALS, parent_death_hook, start_prepared
from lcm_pipeline.settings import Settings
from lcm_pipeline.settings.secrets import stored_secret

# Not named LCM_*, which would make it a setting.
UI_TOKEN = "DAGSTER_UI_TOKEN"  # noqa: S105 - the name of a variable
_CHECK_SECONDS = 0.5
_STOP_SECONDS = 60.0
# A daemon reports every 30 s; one that starts the code location may be late by minutes.
_OLDEST_HEARTBEAT_SECONDS = 600.0
_CHECK_TIMEOUT_SECONDS = 20.0


class UiEndedError(UserError):
    """One of the two processes ended by itself; the message says which."""


def serve_ui(
    settings: Settings,
    *,
    host: str,
    port: int,
    allowed_hosts: Sequence[str] = (),
    is_read_only: bool = False,
    programs: Collection[Program] = BOTH,
) -> Generator[str, None, None]:
    """Serve until the process is interrupted; yields the link to open once the page is served.

    programs: what to run. Without the web server nothing is yielded. Raises UsageError for a port
    in use, a home that is already served or an executor that cannot run, UiEndedError when one of
    the processes ends by itself.
    """
    # SIGTERM, and the end of the terminal unless nohup ignores it, must stop both processes too.
    # SIGINT is ignored in background jobs of a shell, so its handler is set explicitly.
    for stop in STOP_SIGNALS:
        if stop is not signal.SIGHUP or signal.getsignal(stop) is not signal.SIG_IGN:
            signal.signal(stop, signal.default_int_handler)
    require_executor(settings)
    with ExitStack() as stack:
        for program in programs:
            stack.enter_context(_only_one(settings, program, f"http://{url_host(host)}:{port}"))
        if Program.WEB in programs:
            _require_free_port(host, port)
        is_changeable = Program.WEB in programs and not is_read_only
        token = stored_secret(instance_home(settings) / "ui_token") if is_changeable else None
        commands = {
            program: words
            for program, words in _commands(host, port, allowed_hosts).items()
            if program in programs
        }
        environment = {**os.environ, **ui_variables(settings)}
        with _running(commands, environment, token) as processes:
            if Program.WEB in programs:
                reached = _reached_at(host)
                while not _takes_connections(reached, port):
                    _require_all(processes)
                    time.sleep(_CHECK_SECONDS)
                link = f"http://{url_host(reached)}:{port}/"
                yield link + (f"?token={token}" if token else "")
            while True:
                _require_all(processes)
                time.sleep(_CHECK_SECONDS)


def check_ui(
    settings: Settings, *, host: str, port: int, programs: Collection[Program] = BOTH
) -> None:
    """Raise UiEndedError if a program does not work: for health checks of containers.

    The web server must respond on this machine; the daemon must have reported to Dagster's storage,
    from wherever it runs. Starts and changes nothing.
    """
    if Program.WEB in programs:
        page = f"http://{url_host(_reached_at(host))}:{port}/server_info"
        try:
            # A proxy of the environment must not be used for this machine.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            opener.open(page, timeout=_CHECK_TIMEOUT_SECONDS).close()
        except (urllib.error.URLError, OSError) as error:
            raise UiEndedError(
                f"{Program.WEB.label} does not respond at {page}: {error}"
            ) from error
    if Program.DAEMON in programs:
        oldest = time.time() - _OLDEST_HEARTBEAT_SECONDS
        with dagster_instance(settings) as instance:
            heartbeats = instance.get_daemon_heartbeats()
            late = [
                kind
                for kind in sorted(instance.get_required_daemon_types())
                if kind not in heartbeats or heartbeats[kind].timestamp < oldest
            ]
        if late:
            raise UiEndedError(
                f"{Program.DAEMON.label} does not run: no report of {', '.join(late)} for"
                f" {_OLDEST_HEARTBEAT_SECONDS / 60:.0f} minutes"
            )


def served_address(settings: Settings) -> tuple[str, int] | None:
    """Host and port of the web server that serves the home, or served it last; None without one."""
    with suppress(OSError, ValueError):
        served = urlsplit(_lock_file(settings, Program.WEB).read_text().partition(" ")[0])
        if served.hostname and served.port:
            return served.hostname, served.port
    return None


def _lock_file(settings: Settings, program: Program) -> Path:
    """The lock of a program that serves the home; its text names the address and the process."""
    return instance_home(settings) / f"ui-{program}.lock"


def _reached_at(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    # asyncio lets a server on :: take no connections of IPv4.
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared


def _require_all(processes: Mapping[Program, subprocess.Popen[bytes]]) -> None:
    """Raise UiEndedError when one of the processes has ended."""
    for program, process in processes.items():
        if process.poll() is not None:
            raise UiEndedError(
                f"{program.label} ended by itself (exit code {process.returncode}), so lcm ui ends"
                " too: its last messages are above"
            )


def _takes_connections(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=5):
        return True
    return False


def ui_variables(settings: Settings) -> dict[str, str]:
    """Variables to add to the environment of Dagster's processes. Prepares Dagster's storage."""
    with dagster_instance(settings) as instance:
        fail_dead_runs(instance, instance_home(settings))
        if POOL not in {pool.name for pool in instance.event_log_storage.get_pool_limits()}:
            instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    # The folder of the command is the user's: a file `types.py` there must not be imported.
    variables = {"PYTHONWARNINGS": "ignore", "PYTHONSAFEPATH": "1"}
    return {**variables, **instance_variables(settings)}


def _require_free_port(host: str, port: int) -> None:
    """Raise UsageError if the port is in use; the message names the process."""
    if error := listen_error(host, port):
        holder = holder_of(port)
        by = f", by {holder}" if holder else ""
        raise UsageError(
            f"port {port} of {host} cannot be used ({error.strerror}{by}): choose another"
            " with --port"
        ) from error


def _commands(host: str, port: int, allowed_hosts: Sequence[str]) -> dict[Program, list[str]]:
    program = [sys.executable, "-m", "lcm_pipeline.orchestration.ui.runner"]
    names = dict.fromkeys([*allowed_hosts, url_host(host)])
    web = [*program, "lcm_pipeline.orchestration.ui.web", host, str(port), *names]
    daemon = [*program, "dagster._daemon", "run", "-m", CODE_LOCATION]
    return {
        Program.WEB: web,
        Program.DAEMON: [
            *daemon,
            "--log-level",
            "error",
            # Dagster replaces the daemon's code server each minute, and the old one warns that it
            # ends without a heartbeat, as if something had failed.
            "--code-server-log-level",
            "error",
        ],
    }


@contextmanager
def _running(
    commands: dict[Program, list[str]], environment: dict[str, str], token: str | None
) -> Iterator[dict[Program, subprocess.Popen[bytes]]]:
    """The processes, ended when the context is left, the children of each by itself."""
    processes: dict[Program, subprocess.Popen[bytes]] = {}
    secret = {} if token is None else {UI_TOKEN: token}
    # One that is killed cannot stop its children itself.
    tie_to_parent = parent_death_hook(os.getpid(), signal.SIGINT)

    def prepare() -> None:
        tie_to_parent()
        # One that comes while Python starts would print a traceback: runner.py unblocks them.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    try:
        for program, words in commands.items():
            given = {**environment, **secret} if program is Program.WEB else environment
            # Ctrl-C on a terminal reaches a whole group: each process gets it once, from here, and
            # not the code servers, which their parents stop.
            processes[program] = start_prepared(words, prepare, env=given, process_group=0)
        yield processes
    finally:
        try:
            _stop(processes.values())
        finally:
            if web := processes.get(Program.WEB):
                # One that was killed, or that a second Ctrl-C does not wait for, leaves its code
                # server for up to 90 s. That of the daemon finishes the runs that it executes.
                with suppress(ProcessLookupError):
                    os.killpg(web.pid, signal.SIGTERM)


def _stop(processes: Collection[subprocess.Popen[bytes]]) -> None:
    """End the processes, those that take too long by force."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _only_one(settings: Settings, program: Program, url: str) -> Iterator[None]:
    """Lock the home for a program; the kernel releases the lock with the process."""
    path = _lock_file(settings, program)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UsageError(
                f"lcm ui serves {settings.home_path} already: {lock.read().strip()}. Its schedules"
                " would run twice; open that one, or stop it"
            ) from None
        lock.truncate(0)
        # `served_address` reads it.
        lock.write(f"{url} (pid {os.getpid()})")
        lock.flush()
        yield
