"""`lcm doctor` and `lcm metrics`, for operators and monitoring systems."""

import itertools
import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer
from typing import Any

import psycopg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import SecretStr

from lcm_pipeline.cli.commands.metrics import ServedCollector
from lcm_pipeline.cli.commands.simulate import moscow_now, moscow_today
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import LCM, environment, run, run_on_terminal
from tests.conftest import Programme
from tests.integration.postgres_users import tenant
from tests.ports import free_port
from tests.waiting import PATIENCE, wait_for


@pytest.fixture
def live(programme: Programme) -> RunningSimulator:
    """A programme whose clients registered in the last few days."""
    return programme(
        start=moscow_today() - timedelta(days=6), now=moscow_now(), clients=60, token="424242",
        quirks=("max_length=3",),
    )  # fmt: skip


def _examine(tmp_path: Path, **variables: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    ended = run(tmp_path, "doctor", "--json", **variables)
    assert ended.stdout, ended.stderr
    report = json.loads(ended.stdout)
    assert report["ok"] is (ended.returncode == 0)
    lines: dict[str, list[dict[str, Any]]] = {}
    for finding in report["findings"]:
        lines.setdefault(finding["name"], []).append(finding)
    return ended.returncode, lines


@pytest.mark.parametrize("wire_format", ["json", "xml"])
def test_a_working_installation_passes_and_its_paging_is_measured(
    wire_format: str, tmp_path: Path, live: RunningSimulator, warehouse: Warehouse
) -> None:
    variables = {
        "LCM_API_FORMAT": wire_format,
        "LCM_API_URL": live.url,
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_TOKEN": "424242",
        "LCM_START_DATE": str(moscow_today() - timedelta(days=6)),
    }
    code, lines = _examine(tmp_path, **variables)
    assert code == 0
    for name in ("settings", "disk", "warehouse", "rights", "zone", "schema", "service", "TLS",
                 "identity", "clock of the warehouse"):  # fmt: skip
        assert [line["state"] for line in lines[name]] == ["ok"], lines[name]
    assert "rows are counted from 1" in lines["paging of operations"][0]["found"]
    assert "capped at 3 rows" in lines["paging of operations"][0]["found"]
    assert not (tmp_path / "home").exists()
    shown = run(tmp_path, "doctor", **variables).stdout
    assert re.search(r"^ok    identity:", shown, re.MULTILINE)
    assert "424242" not in shown


def test_paging_is_measured_on_the_client_with_the_largest_total(
    tmp_path: Path, live: RunningSimulator
) -> None:
    oldest = str(moscow_today() - timedelta(days=6))
    registrations = live.world.truth()["registrations"]
    first_day = [row["Client"] for row in registrations if row["RegDate"].startswith(oldest)]
    longest = first_day[len(first_day) // 2]
    # The world of each day differs: this client has more rows than the others on all of them.
    for _ in range(10):
        live.world.mutate("insert_top", longest)
    # The cap of 3 rows hides nothing of the other clients, whatever the order they are listed in.
    for client in {row["Client"] for row in registrations} - {longest}:
        live.world.mutate("delete_all", client)
        for _ in range(3):
            live.world.mutate("insert_top", client)
    _, lines = _examine(tmp_path, LCM_API_URL=live.url, LCM_TOKEN="424242", LCM_START_DATE=oldest)
    assert "capped at 3 rows" in lines["paging of operations"][0]["found"]


def test_each_problem_is_reported_with_its_remedy(
    tmp_path: Path, live: RunningSimulator, postgres: str
) -> None:
    with tenant(postgres, owns=False) as poor:
        code, lines = _examine(
            tmp_path, LCM_API_URL=live.url, LCM_DATABASE_URL=poor.url, LCM_TOKEN="777"
        )
    assert code == 1
    assert lines["rights"][0]["state"] == "fail"
    assert f"to {poor.user};" in lines["rights"][0]["advice"]
    assert lines["identity"][0]["state"] == "fail"
    assert "LCM_TOKEN" in lines["identity"][0]["advice"]
    assert lines["start"][0]["state"] == "warn"


def test_a_small_limit_of_connections_is_reported_and_no_check_fails_for_it(
    tmp_path: Path, live: RunningSimulator, postgres: str
) -> None:
    with tenant(postgres) as few:
        variables = {"LCM_API_URL": live.url, "LCM_DATABASE_URL": few.url}
        assert run(tmp_path, "migrate", **variables).returncode == 0
        few.run("alter role {user} connection limit 1")
        _, lines = _examine(tmp_path, **variables)
        (found,) = lines["connections"]
        assert (found["state"], "1 connection allowed to" in found["found"]) == ("warn", True)
        assert "connection limit of the role or the database" in found["advice"]
        assert lines["service"][0]["state"] == "ok"
        # One session is taken by somebody else.
        sessions = "select from pg_stat_activity where usename = %s"
        wait_for(lambda: not few.owner.execute(sessions, [few.user]).fetchall())
        with psycopg.connect(few.url):
            _, lines = _examine(tmp_path, **variables)
        (found,) = lines["warehouse"]
        assert (found["state"], "too many connections for role" in found["found"]) == ("fail", True)
        assert "alter role" in found["found"]
        # That of the test is one of the two.
        few.run("alter role {user} connection limit -1")
        few.run("alter database {database} connection limit 2")
        _, lines = _examine(tmp_path, **variables)
        assert "2 connections allowed to" in lines["connections"][0]["found"]
        assert lines["service"][0]["state"] == "ok"


def test_a_failed_run_that_a_rerun_does_not_help_is_not_to_be_run_again(
    tmp_path: Path, live: RunningSimulator, warehouse: Warehouse
) -> None:
    variables = {"LCM_API_URL": live.url, "LCM_DATABASE_URL": warehouse.url, "LCM_TOKEN": "777"}
    assert run(tmp_path, "sync", "--yesterday", **variables).returncode == 2
    _, lines = _examine(tmp_path, **variables)
    (found,) = lines["last run"]
    assert "a rerun alone does not help" in found["found"]
    assert found["advice"] == "do what it says; lcm logs shows what came before"


def test_a_new_folder_gets_a_list_of_what_is_missing_and_stays_empty(tmp_path: Path) -> None:
    code, lines = _examine(tmp_path)
    assert code == 1
    assert lines["address"][0]["state"] == "fail"
    assert "LCM_API_URL" in lines["address"][0]["found"]
    assert lines["warehouse"][0]["state"] == "warn"
    assert not (tmp_path / "home").exists()


def test_a_home_that_is_a_file_or_below_one_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (file, file / "below"):
        _, lines = _examine(tmp_path, LCM_HOME=str(home))
        assert [line["state"] for line in lines["home"]] == ["fail"]
        assert f"{file} is not a folder" in lines["home"][0]["found"]
        assert lines["warehouse"][0]["advice"].startswith("first correct LCM_HOME")


def test_a_home_where_no_file_can_be_stored_is_to_be_set_to_another_folder(tmp_path: Path) -> None:
    _, lines = _examine(tmp_path, LCM_HOME="/proc/nope")
    (disk,) = lines["disk"]
    assert (disk["state"], disk["advice"]) == (
        "fail", "set LCM_HOME to a folder that you may write to",
    )  # fmt: skip
    assert "/proc is in a file system that stores no files" in disk["found"]


@pytest.mark.parametrize(
    ("name", "value", "finding", "found", "advice"),
    [
        ("LCM_EXECUTOR", "celery", "broker", "LCM_CELERY_BROKER is not set",
         "set it to the address of a broker, such as redis://localhost:6379/0"),
        ("LCM_DATABASE_URL", "postgresql://127.0.0.1:1/none", "warehouse", "cannot be reached",
         "correct that, then run lcm doctor again"),
    ],
)  # fmt: skip
def test_what_is_not_set_or_not_reached_has_a_next_step(
    tmp_path: Path, name: str, value: str, finding: str, found: str, advice: str
) -> None:
    _, lines = _examine(tmp_path, **{name: value})
    line = lines[finding][0]
    assert (line["state"], line["advice"]) == ("fail", advice)
    assert found in line["found"]
    assert not set("\n\t") & set(line["found"])


class _SlowClock(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response_only(404)
        self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(hours=3)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - a name of http.server

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def slow_clock() -> Iterator[str]:
    """A service whose clock is three hours behind."""
    server = HTTPServer(("127.0.0.1", 0), _SlowClock)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_wrong_clock_and_an_unreachable_service_are_detected(
    tmp_path: Path, slow_clock: str
) -> None:
    code, lines = _examine(tmp_path, LCM_API_URL=slow_clock)
    assert code == 1
    assert lines["clock of the service"][0]["state"] == "fail"
    assert "behind this machine's" in lines["clock of the service"][0]["found"]
    code, lines = _examine(tmp_path, LCM_API_URL="http://127.0.0.1:1/")
    assert lines["service"][0]["state"] == "fail"
    assert "cannot be reached" in lines["service"][0]["found"]


class _MailServer(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 mail.example.com ESMTP\r\n")


def test_a_service_that_does_not_speak_http_is_reported_without_its_words(tmp_path: Path) -> None:
    with TCPServer(("127.0.0.1", 0), _MailServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        _, lines = _examine(tmp_path, LCM_API_URL=f"{address}/")
        server.shutdown()
        thread.join()
    assert lines["service"][0]["found"] == (
        f"{address} cannot be used: the response is not HTTP: is the port of LCM_API_URL right,"
        " and does it serve https?"
    )


def test_a_warehouse_whose_restore_ended_before_its_keys_is_a_failure(
    tmp_path: Path, live: RunningSimulator, warehouse: Warehouse
) -> None:
    variables = {"LCM_API_URL": live.url, "LCM_DATABASE_URL": warehouse.url, "LCM_TOKEN": "424242"}
    _, lines = _examine(tmp_path, **variables)
    assert [line["state"] for line in lines["schema"]] == ["ok"]
    with warehouse.connect(autocommit=True) as session:
        session.execute("alter table sync.client_state drop constraint client_state_pkey")
    code, lines = _examine(tmp_path, **variables)
    assert code == 1
    assert [line["state"] for line in lines["schema"]] == ["fail"]
    assert "sync.client_state without a key" in lines["schema"][0]["found"]


def test_metrics_report_a_warehouse_that_fails_between_two_sessions(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, sessions = Warehouse.connect, itertools.count(1)

    def connect_once(self: Warehouse, **options: Any) -> Any:
        if next(sessions) > 1:
            raise psycopg.OperationalError("sorry, too many clients already")
        return connect(self, **options)

    monkeypatch.setattr(Warehouse, "connect", connect_once)
    collector = ServedCollector(Settings(database_url=SecretStr(warehouse.url)), warehouse)
    shown = {metric.name: metric.samples[0].value for metric in collector.collect()}
    assert shown == {"lcm_up": 0}


def test_metrics_are_open_metrics_on_stdout_in_a_file_and_on_a_port(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into sync.runs (feed, window_from, window_to, error)"
            " values ('leads', current_date, current_date, 'no answer')"
        )
    variables = {"LCM_DATABASE_URL": warehouse.url}
    printed = run(tmp_path, "metrics", **variables)
    assert printed.returncode == 0, printed.stderr
    values = _values(printed.stdout)
    assert values["lcm_up"] == 1
    assert values["lcm_complete"] == 0
    assert values["lcm_last_run_failed leads"] == 1
    assert values["lcm_feed_pending operations"] == 0
    assert "no answer" not in printed.stdout

    written = tmp_path / "lcm.prom"
    done = run(tmp_path, "metrics", "--output", str(written), **variables)
    # Cron mails whatever is printed.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert _values(written.read_text()).keys() == values.keys()
    unreachable = {"LCM_DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/none"}
    words = ("metrics", "--output", str(written))
    shown = run_on_terminal(tmp_path, *words, stream="stderr", **variables)
    assert (shown.returncode, shown.stdout) == (0, "")
    assert shown.stderr.rstrip() == f"lcm: wrote the metrics to {written}"
    failed = run(tmp_path, "metrics", "--output", str(written), **unreachable)
    assert failed.returncode == 2
    assert f"wrote lcm_up 0 to {written}" in failed.stderr
    assert _values(written.read_text()) == {"lcm_up": 0}

    port = free_port()
    serving = subprocess.Popen(
        [LCM, "metrics", "--port", str(port)], env=environment(tmp_path, **variables), cwd=tmp_path
    )
    try:
        assert "lcm_up 1.0" in _scrape(f"http://127.0.0.1:{port}/metrics", serving)
        taken = run(tmp_path, "metrics", "--port", str(port), **variables)
        assert taken.returncode == 2
        assert "--port" in taken.stderr
    finally:
        serving.terminate()
        assert serving.wait(PATIENCE) == 0


def test_metrics_of_a_database_without_a_warehouse_are_refused(
    tmp_path: Path, postgres: str
) -> None:
    written = tmp_path / "lcm.prom"
    for words in ((), ("--output", str(written))):
        refused = run(tmp_path, "metrics", *words, LCM_DATABASE_URL=postgres)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "Nothing was ever synced here" in refused.stderr
    assert _values(written.read_text()) == {"lcm_up": 0}
    port = free_port()
    serving = subprocess.Popen(
        [LCM, "metrics", "--port", str(port)],
        env=environment(tmp_path, LCM_DATABASE_URL=postgres),
        cwd=tmp_path,
    )
    try:
        assert "lcm_up 0.0" in _scrape(f"http://127.0.0.1:{port}/metrics", serving)
    finally:
        serving.terminate()
        assert serving.wait(PATIENCE) == 0


def _values(text: str) -> dict[str, float]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _scrape(url: str, serving: subprocess.Popen[bytes]) -> str:
    def read() -> str:
        assert serving.poll() is None, "the metrics are not served"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as response:
                return str(response.read().decode())
        except OSError:
            return ""

    return wait_for(read)
