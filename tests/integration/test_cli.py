"""The `lcm` command as a user runs it: its output and its exit code."""

import os
import re
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import LCM, environment, run
from tests.conftest import Programme
from tests.oracle import assert_exact
from tests.stored import snapshot
from tests.syncing import MARCH_OPTIONS
from tests.waiting import PATIENCE, wait_for


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        (("sync", "--date", "2026-02-30"), {}, "is not a day"),
        (("sync", "--date", "yesterday"), {}, "is not a day"),
        (("sync", "--from", "2026-03-05", "--to", "2026-03-01"), {}, "is after"),
        (("sync", "--from", "2026-03-05"), {}, "both --from DAY and --to DAY"),
        (("sync", *MARCH_OPTIONS, "--date", "2026-03-01"), {}, "either --date, or --from and --to"),
        (("sync", "--date", "2026-03-01"), {}, "LCM_API_URL is not set"),
        (("sync", "--date", "2026-03-01"), {"LCM_API_URL": "http:///x"}, "with a host"),
        (("sync", "--date", "2026-03-01"), {"LCM_API_URL": "ftp://h/"}, "with a host"),
        (("sync", "--date", "2026-03-01"), {"LCM_START_DATE": "2026-04-01"}, "LCM_START_DATE"),
        (("sync", "--missing"), {"LCM_START_DATE": "2999-01-01"}, "no day from 2999-01-01 on has"),
        (("status",), {"LCM_CONCURRENCY": "none"}, "LCM_CONCURRENCY"),
        (("status",), {"LCM_TIMEZONE": "Mars/Base"}, "LCM_TIMEZONE"),
        (("status",), {"LCM_AUDIT_SHARE": "7"}, "between 0 and 1"),
        (("status",), {"LCM_USERNAME": "u"}, "go together: LCM_PASSWORD is not set"),
        (("status",), {"LCM_PASSWORD": "p"}, "go together: LCM_USERNAME is not set"),
        (("status",), {"LCM_DATABASE_URL": "mysql://h/d"}, "postgresql://"),
        (("status",), {"LCM_DATABASE_URL": "postgresql://u:s3cr3t@127.0.0.1:1/d"}, "reached"),
        (("status",), {"LCM_MAX_RSP": "3"}, "LCM_MAX_RSP; did you mean LCM_MAX_RPS?"),
        (("sync", "--date", "2026-03-01"), {"lcm_tokn": "5"}, "did you mean LCM_TOKEN?"),
        (("push", "--dry-run"), {"LCM_FOLDER": "x"}, "unknown setting LCM_FOLDER"),
        (("nonsense",), {}, "No such command"),
        (("sync", "--date", "2026-03-01", "--date", "2026-03-02"), {}, "several are given"),
        (("report", "--week", "--week", "2026-03-02"), {}, "several are given"),
        (("sync", "--client", str(10**20)), {}, f"expected {2**63 - 1} at most; got '1000"),
        (("logs", "--lines", "0"), {}, "expected 1 or more; got '0'"),
        (("forget", "--", "-7"), {}, "expected 1 or more; got '-7'"),
        (("disclose", "0"), {}, "expected 1 or more; got '0'"),
        (("retire", "1", str(10**20)), {}, f"expected {2**63 - 1} at most; got '1000"),
        (("logs", "--lines", "few"), {}, "expected a whole number; got 'few'"),
        (("plan", "--rps", "fast"), {}, "expected a number; got 'fast'"),
        (("ui", "--only", "all"), {}, "for '--only': 'all' is not one of 'web', 'daemon'"),
        (("push", "--csv", ""), {}, "for '--csv': the value is empty"),
        (("ui", "--allow-host", "a", "--allow-host", ""), {}, "for '--allow-host': the value is"),
        (("logs", ""), {}, "for 'RUN': the value is empty"),
        (("metrics", "--output", "x", "--port", "9108"), {}, "either --output or --port"),
        (("dbt", "--output", "-"), {}, "name a folder"),
        (("simulate", "--clients", "100001"), {}, "in memory: expected 100,000 at most"),
        (("demo", "--clients", "1000000000"), {}, "in memory: expected 100,000 at most"),
    ],
)
def test_invalid_usage_exits_with_2_and_names_what_is_expected(
    tmp_path: Path, words: tuple[str, ...], variables: dict[str, str], expected: str
) -> None:
    ended = run(tmp_path, *words, **variables)
    assert ended.returncode == 2, ended.stderr
    assert expected in " ".join(ended.stderr.replace("│", " ").split())
    assert "Traceback" not in ended.stderr
    assert "s3cr3t" not in ended.stderr + ended.stdout


def test_help_is_printed_whatever_else_is_given(tmp_path: Path) -> None:
    shown = run(tmp_path, "push", "--csv=", "--help")
    assert (shown.returncode, "--dry-run" in shown.stdout) == (0, True), shown.stderr


@pytest.mark.parametrize("command", ["reset", "sync", "verify", "runs"])
def test_help_names_no_largest_number_where_any_is_allowed(tmp_path: Path, command: str) -> None:
    shown = run(tmp_path, command, "--help").stdout
    assert "x>=1" in shown
    assert "9223372036854775807" not in shown


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"LCM_OPERATOR=5\nLCM_MAXRPS=s3cr3t\n",
            "line 2: unknown setting LCM_MAXRPS; did",
        ),
        ("# Оператор\n".encode("cp1251"), "line 1: not UTF-8"),
        (b"LCM_OPERATOR=5\nLCM_TOKEN s3cr3t\n", "line 2: expected NAME=VALUE"),
    ],
)
@pytest.mark.parametrize("command", [("status",), ("ui",), ("sync", "--date", "2026-03-01")])
def test_a_malformed_env_file_exits_with_2_and_names_the_line(
    tmp_path: Path, command: tuple[str, ...], content: bytes, expected: str
) -> None:
    (tmp_path / ".env").write_bytes(content)
    ended = run(tmp_path, *command)
    assert ended.returncode == 2, ended.stderr
    assert f"{tmp_path / '.env'}, {expected}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "s3cr3t" not in ended.stderr + ended.stdout
    assert not (tmp_path / "home").exists()


def test_an_env_file_that_is_a_folder_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    ended = run(tmp_path, "status")
    assert ended.returncode == 2
    assert f"{tmp_path / '.env'} cannot be read" in ended.stderr


def test_help_and_version_work_with_invalid_settings(tmp_path: Path) -> None:
    assert run(tmp_path, "--help", LCM_MAX_RSP="3").returncode == 0
    assert run(tmp_path, "--version", LCM_MAX_RSP="3").returncode == 0


def test_a_day_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    tomorrow = str(date.today() + timedelta(days=2))
    ended = run(tmp_path, "sync", "--date", tomorrow, LCM_API_URL="http://127.0.0.1:1/")
    assert ended.returncode == 2
    assert "has not ended" in " ".join(ended.stderr.replace("│", " ").split())


def test_ctrl_c_while_the_command_line_is_imported_prints_no_traceback(tmp_path: Path) -> None:
    interrupt = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'lcm_pipeline.cli.log_format':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from lcm_pipeline.cli import main\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", interrupt],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (130, "lcm: Interrupted.\n")


@pytest.mark.parametrize(("code", "expected"), [(130, 130), (3, 3), (0, 1)])
def test_an_exit_code_is_kept_when_nobody_reads_the_output(
    code: int, expected: int, tmp_path: Path
) -> None:
    command = (
        "import sys\n"
        "import lcm_pipeline.cli.main\n"
        "module = sys.modules['lcm_pipeline.cli.main']\n"
        f"def end(obj):\n    print('done')\n    sys.exit({code})\n"
        "module.app = end\n"
        "module.main()\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", command],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert ended.returncode == expected, ended.stderr


@pytest.mark.parametrize("words", [("sync",), ("plan",)])
def test_the_last_day_of_the_calendar_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(tmp_path, *words, "--date", "9999-12-31", LCM_API_URL="http://127.0.0.1:1/")
    assert ended.returncode == 2
    assert "has not ended" in ended.stderr


@pytest.mark.parametrize("words", [("runs", "--last"), ("verify", "--sample")])
def test_a_number_above_64_bits_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(tmp_path, *words, str(2**63), LCM_API_URL="http://127.0.0.1:1/")
    assert ended.returncode == 2
    assert f"Invalid value for '{words[1]}'" in ended.stderr


def test_a_sync_is_exact_and_complete_and_status_reports_it(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(token="4242424242")
    variables = {
        "LCM_API_URL": source.url,
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_TOKEN": "4242424242",
        "LCM_START_DATE": "2026-03-01",
    }
    synced = run(tmp_path, "sync", *MARCH_OPTIONS, **variables)
    assert synced.returncode == 0, synced.stderr
    assert_exact(source, warehouse, last=date(2026, 3, 30))
    status = run(tmp_path, "status", **variables)
    assert status.returncode == 0
    table = status.stdout.split("\n\n")[1]
    assert sum(line.split()[1:2] == ["2026-03-30"] for line in table.splitlines()) == len(FEEDS)
    verified = run(tmp_path, "verify", "--all", **variables)
    assert verified.returncode == 0
    assert "0 differ" in verified.stdout
    event_log = b"".join(p.read_bytes() for p in (tmp_path / "home").rglob("*") if p.is_file())
    assert b"4242424242" not in event_log


def test_status_imports_no_large_library(tmp_path: Path, warehouse: Warehouse) -> None:
    probe = (
        "import atexit, sys; sys.argv = ['lcm', 'status'];"
        "large = ('dagster', 'pandas', 'numpy', 'sqlalchemy', 'aiohttp', 'httpx', 'lxml');"
        "atexit.register(lambda: print([name for name in large if name in sys.modules]));"
        "from lcm_pipeline.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env=environment(tmp_path, LCM_DATABASE_URL=warehouse.url),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_invalid_rows_exit_with_3_and_are_reported_with_quiet_too(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(habits=("bad_rows=0.05",))
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    ended = run(tmp_path, "sync", *MARCH_OPTIONS, **variables)
    assert ended.returncode == 3, ended.stderr
    assert "sync.quarantine" in ended.stdout

    quiet = run(tmp_path, "sync", *MARCH_OPTIONS, "-q", **variables)
    assert (quiet.returncode, quiet.stdout) == (3, "")
    assert "lcm status --quarantine shows why" in quiet.stderr


def test_a_refused_token_exits_with_2_and_names_the_setting(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(token="4242424242")
    ended = run(
        tmp_path,
        "sync",
        "--date",
        "2026-03-01",
        LCM_API_URL=source.url,
        LCM_DATABASE_URL=warehouse.url,
        LCM_TOKEN="7345019826",
    )
    assert ended.returncode == 2, ended.stderr
    assert "ErrorCode" in ended.stderr
    assert "LCM_TOKEN" in ended.stderr
    assert "7345019826" not in ended.stderr
    assert "run the same command again" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_ctrl_c_prints_how_to_resume_and_the_next_run_resumes(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=150, quirks=("latency_ms=40",), now=datetime(2026, 3, 31, 12))
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    variables["LCM_CONCURRENCY"] = "2"
    stopped = subprocess.Popen(
        [LCM, "sync", *MARCH_OPTIONS],
        env=environment(tmp_path, **variables),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(lambda: _requests(source) >= 20)
    stopped.send_signal(signal.SIGINT)
    _, stderr = stopped.communicate(timeout=PATIENCE)
    assert stopped.returncode == 130, stderr
    assert "run the same command again" in stderr
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 0
    assert_exact(source, warehouse, last=date(2026, 3, 30))
    # Requests in flight are repeated, and a few more find out how the source pages.
    in_flight, to_detect_paging = 2, 8
    clients = len({row["Client"] for row in source.world.truth()["registrations"]})
    assert _requests(source) <= clients + in_flight + to_detect_paging


@pytest.mark.slow
def test_ctrl_c_that_ends_the_reader_of_the_output_too_ends_with_130(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=150, quirks=("latency_ms=40",), now=datetime(2026, 3, 31, 12))
    with subprocess.Popen(
        [LCM, "sync", *MARCH_OPTIONS],
        env=environment(tmp_path, LCM_API_URL=source.url, LCM_DATABASE_URL=warehouse.url),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as command:
        wait_for(lambda: _requests(source) >= 20)
        assert command.stdout is not None
        command.stdout.close()
        command.send_signal(signal.SIGINT)
        assert command.wait(PATIENCE) == 130


# A stand-in for a command: Dagster's storage closes its connections when it ends.
INTERRUPTED_CLOSE = """
import sqlite3, sys
import sqlalchemy
from dagster import DagsterExecutionInterruptedError
from lcm_pipeline.cli import main
class Connection(sqlite3.Connection):
    def close(self):
        raise {interrupt}
def command(obj):
    try:
        with sqlalchemy.create_engine(
            "sqlite://", connect_args={"factory": Connection}, poolclass=sqlalchemy.NullPool
        ).connect():
            pass
    except {interrupt}:
        sys.exit(130)
sys.modules["lcm_pipeline.cli.main"].app = command
main()
"""


@pytest.mark.parametrize("interrupt", ["KeyboardInterrupt", "DagsterExecutionInterruptedError"])
def test_ctrl_c_while_a_connection_is_closed_prints_no_traceback(
    tmp_path: Path, interrupt: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_CLOSE.replace("{interrupt}", interrupt)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (130, "lcm: Interrupted.\n")


@pytest.mark.slow
def test_ctrl_c_during_the_marts_prints_nothing_of_the_database_driver(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=10, now=datetime(2026, 3, 31, 12))
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    assert run(tmp_path, "sync", "--date", "2026-03-29", **variables).returncode == 0
    with warehouse.connect() as holder, warehouse.connect(autocommit=True) as session:
        holder.execute("lock table mart.points_movements in exclusive mode")
        with subprocess.Popen(
            [LCM, "sync", "--date", "2026-03-30"],
            env=environment(tmp_path, **variables),
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as command:

            def is_waiting() -> bool:
                row = session.execute(
                    "select exists (select from pg_locks where not granted"
                    " and relation = 'mart.points_movements'::regclass)"
                ).fetchone()
                return row is not None and bool(row[0])

            wait_for(is_waiting)
            command.send_signal(signal.SIGINT)
            _, stderr = command.communicate(timeout=PATIENCE)
    assert command.returncode == 130, stderr
    assert "psycopg" not in stderr


@pytest.mark.slow
@pytest.mark.parametrize("is_repeated", [False, True])
def test_sigterm_ends_a_background_sync_whose_database_does_not_respond(
    tmp_path: Path, programme: Programme, warehouse: Warehouse, is_repeated: bool
) -> None:
    source = programme(clients=150, quirks=("latency_ms=40",), now=datetime(2026, 3, 31, 12))
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    with subprocess.Popen(
        [LCM, "sync", *MARCH_OPTIONS],
        env=environment(tmp_path, **variables),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # As a shell starts a background job.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as command:
        wait_for(lambda: _requests(source) >= 20)
        with warehouse.connect(autocommit=True) as session:
            rows = session.execute(
                "select pid from pg_stat_activity where datname = current_database()"
                " and application_name like 'lcm%' and pid <> pg_backend_pid()"
            ).fetchall()
        for (backend,) in rows:
            os.kill(backend, signal.SIGSTOP)
        try:
            command.send_signal(signal.SIGTERM)
            if is_repeated:
                with pytest.raises(subprocess.TimeoutExpired):
                    command.wait(3)

                def has_ended() -> bool:
                    command.send_signal(signal.SIGTERM)
                    return command.poll() is not None

                wait_for(has_ended)
            _, stderr = command.communicate(timeout=PATIENCE)
        finally:
            command.kill()
            for (backend,) in rows:
                os.kill(backend, signal.SIGCONT)
    assert command.returncode == 130, stderr
    assert "run the same command again" in stderr
    assert ("the database has not responded" in stderr) is not is_repeated
    assert "Traceback" not in stderr
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 0
    assert_exact(source, warehouse, last=date(2026, 3, 30))


def _requests(source: RunningSimulator) -> int:
    return int(source.service.traffic.counts()["by_endpoint"].get("OperationHistory", 0))


@pytest.mark.slow
def test_verify_fix_repairs_differences_and_exits_with_0(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme()
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 0
    with warehouse.connect() as session:
        session.execute("update core.clients set phone = 9000000001")
        session.execute(
            "update core.operations set remain = -1 where client_id ="
            " (select max(client_id) from core.operations)"
        )
    found = run(tmp_path, "verify", "--all", **variables)
    assert found.returncode == 3
    repaired = run(tmp_path, "verify", "--all", "--fix", **variables)
    assert repaired.returncode == 0, repaired.stderr + repaired.stdout
    assert "0 differ" in repaired.stdout.partition("once more")[2]
    assert "9000000001" not in repaired.stdout + repaired.stderr
    # Log lines with times, also those of the marts, and each once.
    lines = repaired.stderr.splitlines()
    assert all(re.match(r"[\d-]{10} [\d:]{8}[+-]\d{4} INFO ", line) for line in lines), lines
    assert any(re.search(r"INFO    operations: \d+ done$", line) for line in lines)
    nothing = run(tmp_path, "verify", "--fix", **variables)
    assert nothing.returncode == 0
    assert "again:" not in nothing.stdout


@pytest.mark.slow
def test_verify_of_an_unreachable_api_exits_with_1_and_changes_nothing(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=5)
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 0
    before = snapshot(warehouse)
    source.service.faults.set([FaultRule(kind="forbidden")])
    ended = run(tmp_path, "verify", "--all", "--fix", **variables)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert snapshot(warehouse) == before
