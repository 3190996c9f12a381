"""Alerts as they are delivered: by mail to a real SMTP server, and to a webhook."""

import json
import os
import signal
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest

from lcm_pipeline.definitions import defs
from lcm_pipeline.doctor.findings import Finding, State
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.alerts import Alert, AlertError, Snapshot, send, take_snapshot
from lcm_pipeline.orchestration.diagnosis import examine_alerts
from lcm_pipeline.orchestration.partitions import tags_for
from lcm_pipeline.orchestration.sensors import alert_on_failed_run
from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.status import FeedOverview, WarehouseStatus
from tests.pipeline.dagster_runs import ScriptedRuns, days
from tests.waiting import PATIENCE

# A library that apprise depends on still uses imghdr.
pytestmark = pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")
NOWHERE = "json://127.0.0.1:1/x"
# What an alert must never contain.
SECRETS = ("9031112233", "Кукушкина", "evl@example.org", "s3cr3t")


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that stores what is posted to it, and its address in apprise's notation."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            posted = json.loads(self.rfile.read(length))
            if self.path == "/moved":
                self.send_response(301)
                self.send_header("Location", "/hook")
            else:
                received.append(posted)
                self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with _running(server):
        yield f"json://user:s3cr3t@127.0.0.1:{server.server_port}/hook", received


@pytest.fixture
def mailbox() -> Iterator[tuple[str, list[str]]]:
    """An SMTP server that stores the mails it receives; it knows no recipient gone@example.org."""
    mails: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._reply("220 mail.example")
            while line := self.rfile.readline().decode().strip():
                verb = line.split(" ")[0].upper()
                if verb == "DATA":
                    self._reply("354 go on")
                    text = b""
                    while (data := self.rfile.readline()) not in (b".\r\n", b""):
                        text += data
                    mails.append(text.decode())
                if verb == "QUIT":
                    self._reply("221 bye")
                    return
                self._reply("550 unknown" if "gone@" in line else "250 ok")

        def _reply(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    with _running(server):
        port = server.server_address[1]
        yield (
            f"mailto://127.0.0.1:{port}?mode=insecure&from=lcm@example.org&to=head@example.org",
            mails,
        )


def test_an_alert_reaches_a_mailbox_and_a_webhook(
    webhook: tuple[str, list[dict[str, Any]]], mailbox: tuple[str, list[str]]
) -> None:
    settings = load_settings(alert_urls=f"{webhook[0]}, {mailbox[0]}")
    send(settings, [Alert("yesterday is not complete", "lcm status says why.")])
    [posted], [mail] = webhook[1], mailbox[1]
    assert posted["title"] == "lcm: yesterday is not complete"
    assert "lcm status says why." in posted["message"]
    assert "lcm: yesterday is not complete" in mail
    assert "head@example.org" in mail


def test_a_failing_address_is_reported_by_its_kind_and_the_others_are_used(
    webhook: tuple[str, list[dict[str, Any]]],
) -> None:
    given = f"json://user:s3cr3t@127.0.0.1:1/x nonsense://s3cr3t {webhook[0]}"
    with pytest.raises(AlertError) as failed:
        send(load_settings(alert_urls=given), [Alert("t", "b")])
    assert "address 1, json (not delivered); address 2, nonsense (no" in str(failed.value)
    assert "s3cr3t" not in str(failed.value)
    assert len(webhook[1]) == 1


def test_an_alert_to_a_webhook_that_redirects_is_not_delivered(
    webhook: tuple[str, list[dict[str, Any]]],
) -> None:
    moved = webhook[0].replace("/hook", "/moved")
    with pytest.raises(AlertError, match=r"address 1, json \(not delivered\)"):
        send(load_settings(alert_urls=moved), [Alert("t", "b")])
    assert webhook[1] == []


def test_a_recipient_who_is_gone_does_not_have_the_alert_repeated_to_the_others(
    mailbox: tuple[str, list[str]],
) -> None:
    alert = Alert("t", "b")
    with pytest.raises(AlertError, match="not delivered to 1 of 2 recipients") as failed:
        send(load_settings(alert_urls=f"{mailbox[0]},gone@example.org"), [alert])
    assert failed.value.received == [alert]
    assert len(mailbox[1]) == 1


def test_recipients_are_served_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=PATIENCE)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            both.wait()
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with _running(server):
        urls = " ".join(f"json://127.0.0.1:{server.server_port}/{name}" for name in "ab")
        send(load_settings(alert_urls=urls), [Alert("t", "b")])


def test_an_alert_that_nobody_received_is_sent_again_without_those_that_arrived(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            title = json.loads(self.rfile.read(int(self.headers["content-length"])))["title"]
            is_refused = "new field" in title and title not in posted
            posted.append(title)
            self.send_response(500 if is_refused else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into sync.registration_days (registration_date, pending_since)"
            " values ('2026-03-01', now())"
        )
        session.execute(
            "insert into sync.runs (feed, window_from, window_to, status)"
            " select feed, '2026-03-01'::date, '2026-03-01'::date, 'published' from sync.feeds"
        )
        session.execute(
            "insert into sync.unknown_fields (feed, field_name) values ('leads', 'NewField')"
        )
    monkeypatch.setenv("LCM_DATABASE_URL", warehouse.url)
    sensor = defs.resolve_sensor_def("alert_on_state")
    cursor: str | None = None
    evaluations = []
    with _running(server := ThreadingHTTPServer(("127.0.0.1", 0), Handler)):
        monkeypatch.setenv("LCM_ALERT_URLS", f"json://127.0.0.1:{server.server_port}/hook")
        for _ in range(3):
            posted_before = len(posted)
            with dg.DagsterInstance.ephemeral() as instance:
                context = dg.build_sensor_context(instance=instance, cursor=cursor)
                sensor.evaluate_tick(context)
                cursor = context.cursor
            evaluations.append(posted[posted_before:])
    first, second, third = evaluations
    assert any(title.startswith("lcm: pending grew from 0 to ") for title in first)
    assert second == ["lcm: the service sends 1 new field"]
    assert third == []


def test_a_sensor_reports_what_got_worse_once_and_no_personal_data(
    warehouse: Warehouse,
    webhook: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LCM_DATABASE_URL", warehouse.url)
    monkeypatch.setenv("LCM_ALERT_URLS", webhook[0])
    sensor = defs.resolve_sensor_def("alert_on_state")
    cursor: str | None = Snapshot(stale_day="2026-03-01").as_cursor()

    def titles() -> list[str]:
        nonlocal cursor
        before = len(webhook[1])
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            sensor.evaluate_tick(context)
            cursor = context.cursor
        return [one["title"].removeprefix("lcm: ") for one in webhook[1][before:]
                if "is not complete" not in one["title"]]  # fmt: skip

    assert titles() == []
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into sync.registration_days (registration_date, pending_since, last_error)"
            " values ('2026-03-01', now(), %s)",
            (" ".join(SECRETS),),
        )
        session.execute(
            "insert into sync.runs (feed, window_from, window_to, status, error)"
            " select feed, '2026-03-01'::date, '2026-03-01'::date, 'published', null"
            " from sync.feeds"
            " union all select 'leads', '2026-03-01'::date, '2026-03-01'::date, 'stopped', %s",
            (" ".join(SECRETS),),
        )
        row = session.execute("select max(run_id) from sync.runs").fetchone()
        assert row is not None
        session.execute(
            "insert into sync.quarantine"
            " (feed, client_id, row_digest, table_name, reason, raw, sync_run_id)"
            " values ('leads', 7, '', 'leads', 'LeadId: missing', %s, 1)",
            (" ".join(SECRETS),),
        )
        session.execute(
            "insert into sync.unknown_fields (feed, field_name) values ('leads', 'NewField')"
        )
    new_titles = titles()
    assert any(title.startswith("pending grew from 0 to ") for title in new_titles)
    assert "rows in quarantine grew from 0 to 1" in new_titles
    assert "the service sends 1 new field" in new_titles
    assert f"a fuse stopped run {row[0]}" in new_titles
    assert titles() == []
    everything = json.dumps(webhook[1], ensure_ascii=False)
    assert "leads.NewField" in everything
    assert not [secret for secret in SECRETS if secret in everything]


def test_an_unreadable_warehouse_is_reported_once_although_another_address_fails(
    webhook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCM_DATABASE_URL", "postgresql://lcm@127.0.0.1:1/lcm")
    monkeypatch.setenv("LCM_ALERT_URLS", f"{webhook[0]} {NOWHERE}")
    sensor = defs.resolve_sensor_def("alert_on_state")
    cursor: str | None = None
    for _ in range(2):
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            sensor.evaluate_tick(context)
            cursor = context.cursor
    assert [one["title"] for one in webhook[1]] == ["lcm: the warehouse cannot be read"]


def test_a_sync_that_stands_still_is_reported_although_clients_may_wait_for_days() -> None:
    settings = load_settings(max_staleness_days=7)
    now = datetime(2026, 3, 10, 12, tzinfo=settings.zone)
    before = Snapshot()

    def stale_day(complete_through: date, last_day: date) -> str:
        feed = FeedOverview("leads", complete_through, last_day, 1, 0, 3, 0, now)
        status = WarehouseStatus([feed], [])
        return take_snapshot(settings, status, frozenset(), (), before, now).stale_day

    yesterday = date(2026, 3, 9)
    assert stale_day(date(2026, 3, 3), yesterday) == ""
    assert stale_day(date(2026, 3, 8), date(2026, 3, 8)) == "2026-03-09"


@pytest.mark.parametrize(
    ("window", "tags", "title"),
    [
        (days("2026-03-01"), {}, "lcm: sync_days failed for 2026-03-01"),
        (
            days("2026-03-01", "2026-03-31"),
            {"dagster/will_retry": "false"},
            "lcm: sync_days failed for 2026-03-01...2026-03-31",
        ),
        (days("2026-03-01"), {"dagster/will_retry": "true"}, None),
    ],
)
def test_a_failed_run_that_is_not_retried_is_reported_without_its_text(
    webhook: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    window: Window,
    tags: dict[str, str],
    title: str | None,
) -> None:
    monkeypatch.setenv("LCM_ALERT_URLS", webhook[0])

    @dg.op
    def broken() -> None:
        raise ValueError(" ".join(SECRETS))

    @dg.job
    def sync_days() -> None:
        broken()

    with dg.DagsterInstance.ephemeral() as instance:
        result = sync_days.execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={**tags_for(window), **tags},
        )
        event = next(
            one for one in result.all_events if one.event_type is dg.DagsterEventType.RUN_FAILURE
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_on_failed_run",
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        alert_on_failed_run(context)
    if title is None:
        assert webhook[1] == []
        return
    [posted] = webhook[1]
    assert posted["title"] == title
    assert "broken" in posted["message"]
    assert not [secret for secret in SECRETS if secret in json.dumps(posted, ensure_ascii=False)]


@pytest.mark.slow
def test_the_daemon_reports_a_failed_command_but_neither_ctrl_c_nor_the_job_of_somebody_else(
    warehouse: Warehouse,
    webhook: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LCM_ALERT_URLS", webhook[0])
    settings = load_settings()
    runs = ScriptedRuns(settings, warehouse)

    def fail(feed: str) -> None:
        raise SyncError(" ".join(SECRETS))

    def interrupt(feed: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    @dg.op
    def broken() -> None:
        raise ValueError

    @dg.job
    def of_somebody_else() -> None:
        broken()

    with dagster_instance(settings) as instance:
        cursor: str | None = None

        def titles() -> list[str]:
            nonlocal cursor
            # The daemon names the code location; a run of a command has none.
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, repository_name="__repository__"
            )
            sensor = defs.resolve_sensor_def("alert_on_failed_run")
            cursor = sensor.evaluate_tick(context).cursor or cursor
            found = [one["title"] for one in webhook[1]]
            webhook[1].clear()
            return found

        titles()
        with pytest.raises(SyncError):
            runs.run(instance, days("2026-03-01", "2026-03-02"), fail)
        # While no address works the run is not passed over.
        monkeypatch.setenv("LCM_ALERT_URLS", NOWHERE)
        with pytest.raises(dg.DagsterInvariantViolationError, match="json \\(not delivered\\)"):
            titles()
        monkeypatch.setenv("LCM_ALERT_URLS", f"{webhook[0]} {NOWHERE}")
        assert titles() == ["lcm: sync_days failed for 2026-03-01...2026-03-02"]
        with pytest.raises(KeyboardInterrupt):
            runs.run(instance, days("2026-03-03"), interrupt)
        of_somebody_else.execute_in_process(instance=instance, raise_on_error=False)
        assert titles() == titles() == []


def test_doctor_names_addresses_that_cannot_be_used_by_their_position_alone() -> None:
    def found(*addresses: str) -> list[Finding]:
        return list(examine_alerts(load_settings(alert_urls=" ".join(addresses))))

    (wrong,) = found("s3cr3t", "json://localhost/", "s3cr3t")
    assert wrong.state is State.FAIL
    assert wrong.found.endswith("apprise does not understand address 1, address 3")
    assert "s3cr3t" not in str(wrong)
    with pytest.raises(AlertError, match="without ://") as failed:
        send(load_settings(alert_urls="s3cr3t"), [Alert("title", "body")])
    assert "s3cr3t" not in str(failed.value)
    assert [one.state for one in found("json://localhost/")] == [State.OK]
    assert not found()
