"""`lcm status` for operators, for monitoring, and for read-only logins."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.cli.commands.status import status, status_exit_code
from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.account import choose_account
from lcm_pipeline.warehouse.embedded.binaries import find_binaries
from lcm_pipeline.warehouse.embedded.folder import ServerFolder
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.status import _compare_marts, read_status
from tests.commands import run
from tests.conftest import MakeSettings, Programme
from tests.integration.postgres_users import Tenant, address, tenant
from tests.syncing import MARCH_OPTIONS, sync_everything
from tests.waiting import PATIENCE


def _status(tmp_path: Path, *words: str, **variables: str) -> tuple[int, dict[str, Any]]:
    ended = run(tmp_path, "status", "--json", "--exit-code", *words, **variables)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.slow
def test_status_reports_the_lag_pending_clients_and_quarantine(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(habits=("bad_rows=0.05",))
    ill = min(row["Client"] for row in source.world.truth()["registrations"])
    source.service.faults.set(
        [FaultRule(kind="sql_other", endpoint="OperationHistory", client=ill)]
    )
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 3
    (tmp_path / ".env").write_text("LCM_OPERATOR=5\n")

    code, status = _status(tmp_path, "--pending", "--quarantine", **variables)
    assert (code, status["exit_code"], status["state"]) == (3, 3, "incomplete")
    assert status["warehouse"] == warehouse.location
    assert status["settings_file"] == str(tmp_path / ".env")
    assert status["last_run"]["state"] == "published"
    feeds = {feed["feed"]: feed for feed in status["feeds"]}
    yesterday = date.fromisoformat(status["yesterday"])
    assert feeds["leads"]["days_behind"] == (yesterday - date(2026, 3, 30)).days
    assert [(one["feed"], one["client_id"]) for one in status["pending"]] == [("operations", ill)]
    assert "Object reference" in status["pending"][0]["reason"]
    assert status["pending"][0]["since"]
    # Open statuses, neither new nor closed. A programme with other names finds its own ones here.
    assert set(status["unmapped_lead_statuses"]) == {"В работе", "Ожидает клиента"}
    used = {one["convention"]: one["used"] for one in status["conventions"]}
    assert (len(used), used["burns"], used["spending_order"]) == (8, "expired", "soonest_to_expire")
    assert len(status["quarantine"]) == sum(feed["quarantined"] for feed in status["feeds"]) > 0
    with warehouse.connect() as session:
        raw = [row[0] for row in session.execute("select raw from sync.quarantine").fetchall()]

    shown = run(tmp_path, "status", "--pending", "--quarantine", **variables)
    assert shown.returncode == 0
    assert f"client {ill}  operations  since " in shown.stdout
    assert str(tmp_path / ".env") in shown.stdout
    assert f"{feeds['leads']['days_behind']:,} days" in shown.stdout
    assert "lead statuses neither new nor closed: В работе, Ожидает клиента\n" in shown.stdout
    for row in raw:
        assert row not in shown.stdout + json.dumps(status)
    # The table fits a terminal of 80 columns, also in a pipe.
    table = shown.stdout.split("\n\n")[1]
    assert max(map(len, table.splitlines())) <= 80


def test_a_client_whose_last_reading_failed_is_listed_though_its_days_are_complete(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=3)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse)
    ill = min(source.world.programme.customers)
    source.service.faults.set(
        [FaultRule(kind="sql_other", endpoint="OperationHistory", client=ill)]
    )
    sync_everything(settings, warehouse)
    found = read_status(warehouse, lists_pending=True)
    assert [(task.feed, task.client_id) for task in found.pending or []] == [("operations", ill)]
    assert {feed.pending for feed in found.feeds} == {0}


def test_marts_that_a_sync_has_left_behind_are_no_complete_state(
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As after a sync whose totals differ: its facts are complete, and reports show older ones."""
    source = programme(clients=3)
    settings = make_settings(source, warehouse)
    monkeypatch.setenv("LCM_DATABASE_URL", warehouse.url)
    assert read_status(warehouse, compares_marts=True).marts_behind is None
    sync_everything(settings, warehouse)

    def reported() -> tuple[dict[str, Any], str]:
        status(as_json=True)
        report = json.loads(capsys.readouterr().out)
        status()
        return report, capsys.readouterr().out

    behind, shown = reported()
    assert len(behind["marts_behind"]) > 20
    sentence = f"marts older than the facts or mart.parameters: {len(behind['marts_behind'])};"
    assert sentence in shown
    with warehouse.connect() as session:
        session.execute("set role lcm_monitor")
        assert _compare_marts(session) is None
    refresh_marts(warehouse)
    after, shown = reported()
    assert after["marts_behind"] == []
    assert "older than the facts" not in shown
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set point_value = 2")
    edited, shown = reported()
    assert edited["marts_behind"]
    assert "lcm marts refreshes them" in shown
    refresh_marts(warehouse)
    assert reported()[0]["marts_behind"] == []
    found = read_status(warehouse, compares_marts=True)
    yesterday = date(2026, 3, 30)
    assert status_exit_code(found, yesterday, settings) == 0
    assert status_exit_code(replace(found, marts_behind=["lots"]), yesterday, settings) == 3


@pytest.mark.slow
def test_a_client_is_retired_by_hand_and_status_lists_it(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=4)
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    client, other = sorted(source.world.programme.customers)[:2]
    source.service.faults.set([FaultRule(kind="forbidden", client=client)])
    synced = run(tmp_path, "sync", *MARCH_OPTIONS, **variables)
    assert synced.returncode == 3
    # A failed client is not counted as done.
    roster = len(source.world.programme.customers)
    assert f"operations: {roster - 1} done, 1 pending" in synced.stderr
    unsure = run(tmp_path, "retire", str(client), **variables)
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    partly = run(tmp_path, "retire", "--yes", str(client), "42", **variables)
    assert (partly.returncode, partly.stdout) == (2, "")
    assert "client 42 is not in the roster" in partly.stderr
    retired = run(tmp_path, "retire", "--yes", str(client), **variables)
    assert retired.returncode == 0
    assert f"client {client}: retired" in retired.stdout
    status = _status(tmp_path, "--retired", **variables)[1]
    assert status["retired_clients"] == 1
    assert [(one["client_id"], one["reason"]) for one in status["retired"]] == [(client, "manual")]
    assert {feed["pending"] for feed in status["feeds"]} == {0}
    listed = run(tmp_path, "status", "--retired", **variables)
    assert f"client {client}  manual  since " in listed.stdout
    assert "retired: 1, whom" in run(tmp_path, "status", **variables).stdout
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 0
    assert run(tmp_path, "retire", "--undo", str(other), **variables).returncode == 2
    assert run(tmp_path, "retire", "--undo", str(client), **variables).returncode == 0
    source.service.faults.set([])
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 0
    assert _status(tmp_path, **variables)[1]["retired_clients"] == 0


@pytest.mark.slow
def test_a_failed_run_is_shown_with_its_error_until_it_is_repeated(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=5)
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    source.service.faults.set([FaultRule(kind="forbidden", endpoint="OperationHistory")])
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 1
    code, status = _status(tmp_path, **variables)
    assert (code, status["state"]) == (1, "failed")
    assert status["last_run"]["feed"] == "operations"
    assert status["last_run"]["state"] == "failed"
    assert "403" in status["last_run"]["error"]
    shown = run(tmp_path, "status", **variables).stdout
    assert "failed: operations of 2026-03-01 to 2026-03-30" in shown
    assert "403" in shown

    source.service.faults.set([])
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode == 0
    code, status = _status(tmp_path, **variables)
    assert (code, status["state"]) == (3, "incomplete")
    assert {feed["last_run"]["state"] for feed in status["feeds"]} == {"published"}


def test_a_warehouse_complete_through_yesterday_exits_with_0(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    assert _status(tmp_path, LCM_DATABASE_URL=warehouse.url)[0] == 3
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into sync.registration_days (registration_date, read_at)"
            " values ((now() at time zone 'Europe/Moscow')::date - 1, now())"
        )
        session.execute(
            "insert into sync.runs (feed, window_from, window_to, status)"
            " select feed, registration_date, registration_date, 'published'"
            " from sync.feeds cross join sync.registration_days"
        )
    code, status = _status(tmp_path, LCM_DATABASE_URL=warehouse.url)
    assert (code, status["state"], status["days_behind"]) == (0, "complete", 0)
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into sync.runs (feed, window_from, window_to)"
            " values ('leads', current_date, current_date)"
        )
    code, status = _status(tmp_path, LCM_DATABASE_URL=warehouse.url)
    assert (code, status["last_run"]["state"]) == (1, "interrupted")
    # Killed, or its steps wait for a worker: status cannot know which.
    shown = run(tmp_path, "status", LCM_DATABASE_URL=warehouse.url).stdout
    assert "no process works on it now. If its lcm sync has ended, start it again" in shown


@pytest.fixture
def monitored(postgres: str, template: str) -> Iterator[Tenant]:
    """A login that owns nothing, and a warehouse of another owner."""
    with tenant(postgres, owns=False) as made:
        migrate(Warehouse(address(postgres, database=made.database)))
        yield made


@pytest.mark.sampled(1)
@pytest.mark.parametrize("group", ["lcm_monitor", "pg_read_all_data"])
def test_status_works_for_a_read_only_login(group: str, monitored: Tenant, tmp_path: Path) -> None:
    monitored.owner.execute(SQL("grant {} to {user}").format(
        Identifier(group), user=Identifier(monitored.user)
    ))  # fmt: skip
    monitored.run("alter role {user} set default_transaction_read_only = on")
    code, status = _status(tmp_path, "--pending", "--quarantine", LCM_DATABASE_URL=monitored.url)
    assert (code, len(status["feeds"])) == (3, 4)


def test_a_login_without_read_access_gets_the_grant_to_run(
    monitored: Tenant, tmp_path: Path
) -> None:
    ended = run(tmp_path, "status", LCM_DATABASE_URL=monitored.url)
    assert ended.returncode == 2
    assert f"grant lcm_monitor to {monitored.user};" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_monitoring_does_not_see_rows_in_quarantine_nor_phones(monitored: Tenant) -> None:
    monitored.run("grant lcm_monitor to {user}")
    with psycopg.connect(monitored.url, autocommit=True) as session:
        for secret in (
            "raw from sync.quarantine",
            "phone from core.clients",
            "phone from outbox.profile_updates",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"select {secret}".encode())


def test_status_changes_nothing_and_reports_an_older_schema(
    monitored: Tenant, postgres: str, tmp_path: Path
) -> None:
    monitored.run("grant lcm_monitor to {user}")
    monitored.owner.execute(
        "delete from public.lcm_migrations where name = (select max(name) from lcm_migrations)"
    )
    for url in (monitored.url, address(postgres, database=monitored.database)):
        ended = run(tmp_path, "status", LCM_DATABASE_URL=url)
        assert ended.returncode == 2
        assert "older than this version" in ended.stderr
        assert "run lcm migrate" in ended.stderr


@pytest.mark.slow
def test_commands_that_only_read_work_on_a_standby(tmp_path: Path) -> None:
    home = tmp_path / "primary"
    with embedded_postgres(home) as url:
        migrate(Warehouse(url))
        with psycopg.connect(url) as session:
            session.execute(
                "insert into core.clients (client_id, sync_run_id, first_seen_at, synced_at)"
                " values (1001, 1, now(), now())"
            )
            # At this level a standby refuses every statement.
            session.execute("alter role lcm set default_transaction_isolation = 'serializable'")
    (home / "postgres" / "data" / "standby.signal").touch()
    with _standby(home) as url:
        code, status = _status(tmp_path, LCM_DATABASE_URL=url)
        assert (code, len(status["feeds"])) == (3, 4)
        disclosed = run(tmp_path, "disclose", "1001", LCM_DATABASE_URL=url)
        assert disclosed.returncode == 0, disclosed.stderr
        assert [table["name"] for table in json.loads(disclosed.stdout)["tables"]] == [
            "core.clients"
        ]
        bundled = run(tmp_path, "bundle", LCM_DATABASE_URL=url)
        assert bundled.returncode == 0, bundled.stderr
        ended = run(tmp_path, "marts", LCM_DATABASE_URL=url)
        assert ended.returncode == 2
        assert "standby" in ended.stderr


@contextmanager
def _standby(home: Path) -> Iterator[str]:
    """Run a server in recovery on the data of a home; yields its address."""
    binaries, folder = find_binaries(None), ServerFolder(home)
    account = choose_account(folder, binaries)
    sockets = home / "postgres" / "s"
    sockets.mkdir(mode=0o700)
    account.own(sockets)
    command = [binaries / "postgres", "-D", folder.data_folder, "-k", sockets]
    server = subprocess.Popen(
        [*map(str, command), "-c", "listen_addresses="], preexec_fn=account.enter
    )
    url = f"postgresql://lcm@/lcm?host={sockets}"
    try:
        for _ in range(300):
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None
                subprocess.run(["sleep", "0.2"], check=True)
        yield url
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.mark.slow
def test_migrate_restores_grants_lost_in_a_restore(
    tmp_path: Path, postgres: str, template: str
) -> None:
    with tenant(postgres) as made:
        migrate(Warehouse(made.url))
        for schema in ("core", "history", "mart", "sync", "outbox"):
            for role in ("lcm_loader", "lcm_analyst", "lcm_bi"):
                names = {"schema": Identifier(schema), "role": Identifier(role)}
                for what in ("schema", "all tables in schema"):
                    revoke = f"revoke all on {what} {{schema}} from {{role}}"
                    made.owner.execute(SQL(revoke).format(**names))  # type: ignore[arg-type]
        ended = run(tmp_path, "migrate", LCM_DATABASE_URL=made.url)
        assert ended.returncode == 0, ended.stderr
        assert "rights to lcm_bi" in ended.stdout
        for role, table in (
            ("lcm_bi", "mart.program_daily"),
            ("lcm_analyst", "core.operations"),
            ("lcm_loader", "sync.quarantine"),
        ):
            made.owner.execute(SQL("set role {}").format(Identifier(role)))
            made.owner.execute(f"select count(*) from {table}".encode())
            made.owner.execute("reset role")
        again = run(tmp_path, "migrate", LCM_DATABASE_URL=made.url)
        assert again.returncode == 0
        assert "granted" not in again.stdout


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("report",),
        ("verify",),
        ("replay",),
        ("disclose", "1001"),
        ("marts",),
        ("push", "--dry-run"),
    ],
    ids=" ".join,
)
def test_a_read_only_command_in_the_wrong_folder_creates_no_warehouse(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    ended = run(tmp_path, *words, LCM_API_URL="http://127.0.0.1:9/")
    assert ended.returncode == 2
    assert "Nothing was ever synced here" in ended.stderr
    assert str(tmp_path / "home") in ended.stderr
    assert f"no .env in {tmp_path}" in ended.stderr
    assert "LCM_DATABASE_URL" in ended.stderr
    assert not (tmp_path / "home").exists()


def test_a_command_without_a_warehouse_names_that_of_the_newest_demo(tmp_path: Path) -> None:
    newest = tmp_path / "home" / "demo" / "2026-03-01-400"
    for age, days in enumerate(("2026-03-01-400", "2026-03-01-50", "2026-03-02-400")):
        data = tmp_path / "home" / "demo" / days / "postgres" / "data"
        data.mkdir(parents=True)
        os.utime(data.parent, (1e9 - age, 1e9 - age))
    ended = run(tmp_path, "status")
    assert ended.returncode == 2
    assert f"LCM_HOME={newest}" in "".join(ended.stderr.split("\n"))


@pytest.mark.parametrize("words", [("bundle",), ("docs", "--output", "-")])
def test_a_command_starts_the_embedded_server_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    logs = tmp_path / "home/postgres/log"
    before = len([*logs.iterdir()])
    done = run(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    # Each start of the server begins a log file.
    assert len([*logs.iterdir()]) == before + 1


@pytest.mark.slow
def test_read_only_commands_create_no_warehouse_in_a_database(
    tmp_path: Path, postgres: str
) -> None:
    with tenant(postgres) as made:
        for command in ("status", "replay"):
            ended = run(tmp_path, command, LCM_DATABASE_URL=made.url)
            assert ended.returncode == 2
            assert "Nothing was ever synced here" in ended.stderr
        # As lcm plan, docs, dbt and bundle do.
        with warehouse_or_empty(load_settings(database_url=made.url)) as elsewhere:
            assert elsewhere.is_embedded
        schemas = made.owner.execute("select count(*) from pg_namespace where nspname = 'sync'")
        assert schemas.fetchone() == (0,)


@pytest.mark.slow
def test_the_database_of_another_application_is_refused_and_stays_as_it_is(
    tmp_path: Path, postgres: str
) -> None:
    relations = "select oid from pg_class where oid >= 16384 order by oid"
    with tenant(postgres) as made:
        made.owner.execute("create schema core")
        made.owner.execute("create table core.clients (id integer)")
        before = made.owner.execute(relations).fetchall()
        for command in ("status", "migrate", "sync --from 2026-03-01 --to 2026-03-02"):
            ended = run(
                tmp_path, *command.split(),
                LCM_DATABASE_URL=made.url, LCM_API_URL="http://127.0.0.1:9/", LCM_TOKEN="424242",
            )  # fmt: skip
            assert ended.returncode == 2
            assert "no lcm migrate created (core)" in ended.stderr
        examined = run(tmp_path, "doctor", LCM_DATABASE_URL=made.url)
        assert "correct LCM_DATABASE_URL" in examined.stdout
        assert made.owner.execute(relations).fetchall() == before


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("words", [("plan", *MARCH_OPTIONS), ("docs",)], ids=lambda words: words[0])
def test_commands_that_need_no_data_create_no_warehouse(
    words: tuple[str, ...], tmp_path: Path, programme: Programme
) -> None:
    ended = run(tmp_path, *words, LCM_API_URL=programme(clients=5).url)
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "home").exists()
