"""Everyday options: the days to sync, one feed, exports, the list of runs, logs, a new .env."""

import csv
import io
import json
import re
import subprocess
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from lcm_pipeline.cli.commands.simulate import moscow_now, moscow_today
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import are_up_to_date
from tests.commands import LCM, environment, run
from tests.conftest import Programme
from tests.waiting import PATIENCE

YESTERDAY = datetime.now(ZoneInfo("Europe/Moscow")).date() - timedelta(days=1)


def _init(
    inputs: list[str],
    variables: dict[str, str],
    folder: Path,
    *words: str,
    limit: str = "unlimited",
) -> subprocess.CompletedProcess[str]:
    """Run `lcm init` in a folder, with a line of input for each question.

    limit: the largest size of a file, as `ulimit -f` has it.
    """
    return subprocess.run(
        ["sh", "-c", 'ulimit -f "$0" && exec "$@"', limit, LCM, "init", *words],
        input="\n".join(inputs) + "\n",
        env=variables,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _days(warehouse: Warehouse, feed: str) -> list[date]:
    with warehouse.connect() as session:
        rows = session.execute(
            "select day from sync.day_completeness where feed = %s and is_complete order by day",
            (feed,),
        )
        return [row[0] for row in rows.fetchall()]


@pytest.mark.slow
def test_options_over_a_week_of_syncs(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    start = moscow_today() - timedelta(days=6)
    source = programme(start=start, now=moscow_now(), clients=12)
    variables = {
        "LCM_API_URL": source.url,
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_START_DATE": str(start),
    }
    only = run(tmp_path, "sync", "--date", str(start), "--feed", "leads", **variables)
    assert only.returncode == 0, only.stderr
    assert "lcm marts" in only.stdout
    assert _days(warehouse, "leads") == [start]
    assert _days(warehouse, "operations") == []

    yesterday = run(tmp_path, "sync", "--yesterday", **variables)
    assert yesterday.returncode == 0, yesterday.stderr
    assert YESTERDAY in _days(warehouse, "operations")
    assert run(tmp_path, "status", "--exit-code", **variables).returncode == 0

    # A lost day: the registrations on it are unknown.
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "update sync.registration_days set read_at = null where registration_date = %s",
            (start + timedelta(days=2),),
        )
    missing = run(tmp_path, "sync", "--missing", **variables)
    assert missing.returncode == 0, missing.stderr
    assert f"missing days: {start + timedelta(days=2)}" in missing.stdout
    # As a sync leaves them that is killed after its last feed.
    with warehouse.connect() as session:
        session.execute("update refresh.marts set signature = 'older'")
    again = run(tmp_path, "sync", "--missing", **variables)
    assert (again.returncode, "nothing to sync" in again.stdout) == (0, True)
    assert are_up_to_date(warehouse)
    for_machines = run(tmp_path, "sync", "--missing", "--log-format", "json", **variables)
    assert json.loads(for_machines.stdout) == {"reports": []}

    listed = json.loads(run(tmp_path, "runs", "--json", **variables).stdout)["runs"]
    assert {one["state"] for one in listed} == {"published"}
    shown = run(tmp_path, "runs", **variables).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "published" in shown

    source.service.faults.set([FaultRule(kind="forbidden", endpoint="OperationHistory")])
    assert run(tmp_path, "sync", "--yesterday", **variables).returncode == 1
    failed = run(tmp_path, "runs", "--last", "5", **variables).stdout
    assert "failed" in failed
    assert "403" in failed
    log = run(tmp_path, "logs", **variables)
    assert log.returncode == 0, log.stderr
    assert "(sync_days): failure" in log.stdout
    assert "403" in log.stdout
    assert "Traceback" not in log.stdout


@pytest.mark.slow
def test_without_a_terminal_a_sync_logs_lines_with_times(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=6)
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    march = ("sync", "--from", "2026-03-01", "--to", "2026-03-30")
    source.service.faults.set([FaultRule(kind="server_error", nth=2, endpoint="OperationHistory")])
    synced = run(tmp_path, *march, **variables)
    assert synced.returncode == 0, synced.stderr
    lines = synced.stderr.splitlines()
    assert "INFO    lcm sync of 2026-03-01" in lines[0]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4} ", line) for line in lines)
    # Without the run and the step, which Dagster puts before each message.
    assert any(re.search(r"INFO    operations: \d+ done$", line) for line in lines)
    assert any("attempt 1 of " in line and "next in " in line for line in lines)
    assert max(map(len, synced.stdout.splitlines())) <= 80
    assert "…" not in synced.stdout
    assert "1 request sent again" in synced.stdout

    logged = run(tmp_path, *march, "--log-format", "json", **variables)
    assert logged.returncode == 0, logged.stderr
    entries = [json.loads(line) for line in logged.stderr.splitlines()]
    assert {"time", "level", "logger", "message"} <= entries[0].keys()
    assert any(re.fullmatch(r"operations: \d+ done", entry["message"]) for entry in entries)
    assert len(json.loads(logged.stdout)["reports"]) == 4

    quiet = run(tmp_path, *march, "-q", **variables)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sync", "--yesterday", "--date", "2026-03-01"), "no other days"),
        (("sync",), "give --yesterday, --missing, --date DAY, or both"),
        (("sync", "--missing", "--yesterday"), "no other days"),
        (("sync", "--yesterday", "--feed", "lead"), "expected one of"),
        (("export", "programme_daily"), "did you mean program_daily?"),
        (("logs",), "No run was recorded"),
        (("runs",), "Nothing was ever synced here"),
    ],
)
def test_an_invalid_option_exits_with_2(
    tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    ended = run(tmp_path, *words, LCM_API_URL="http://127.0.0.1:9/")
    assert ended.returncode == 2, ended.stderr
    assert expected in " ".join(ended.stderr.replace("│", " ").split())
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_a_missing_executor_requirement_stops_a_sync_before_it_reads(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    ended = run(
        tmp_path, "sync", "--yesterday", LCM_API_URL="http://127.0.0.1:9/",
        LCM_DATABASE_URL=warehouse.url, LCM_EXECUTOR="k8s",
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert "LCM_EXECUTOR" in ended.stderr
    assert "reading" not in ended.stderr


def test_a_missing_executor_requirement_is_found_before_the_missing_days(tmp_path: Path) -> None:
    ended = run(
        tmp_path, "sync", "--missing", LCM_API_URL="http://127.0.0.1:9/",
        LCM_DATABASE_URL="postgresql://127.0.0.1:1/none", LCM_EXECUTOR="k8s",
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert "LCM_EXECUTOR=k8s" in ended.stderr


def test_missing_before_the_first_sync_requires_a_start_date(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    ended = run(
        tmp_path, "sync", "--missing",
        LCM_API_URL="http://127.0.0.1:9/", LCM_DATABASE_URL=warehouse.url,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "LCM_START_DATE" in ended.stderr


@pytest.mark.slow
def test_a_mart_is_written_as_csv_and_as_parquet(tmp_path: Path, warehouse: Warehouse) -> None:
    variables = {"LCM_DATABASE_URL": warehouse.url}
    printed = run(tmp_path, "export", "mart.rfm_segments", "--output", "-", **variables)
    assert printed.returncode == 2
    printed = run(tmp_path, "export", "program_daily", "--output", "-", **variables)
    assert printed.returncode == 0, printed.stderr
    columns = next(csv.reader(io.StringIO(printed.stdout)))
    assert columns[0] == "day"
    written = run(tmp_path, "export", "mart.program_daily", **variables)
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "program_daily.csv").read_text() == printed.stdout
    parquet = pytest.importorskip("pyarrow.parquet")
    written = run(tmp_path, "export", "program_daily", "--format", "parquet", **variables)
    assert written.returncode == 0, written.stderr
    table = parquet.read_table(tmp_path / "program_daily.parquet")
    assert table.column_names == columns
    assert str(table.schema.field("day").type) == "date32[day]"
    written = run(tmp_path, "export", "program_daily", "--output", "named.parquet", **variables)
    assert written.returncode == 0, written.stderr
    assert parquet.read_table(tmp_path / "named.parquet").equals(table)


@pytest.mark.slow
def test_init_asks_until_a_login_has_a_password(tmp_path: Path, programme: Programme) -> None:
    start = moscow_today() - timedelta(days=3)
    source = programme(start=start, now=moscow_now(), clients=6)
    inputs = [source.url, "", "", "user", "", "p4ss", str(start), "", ""]
    written = _init(inputs, environment(tmp_path), tmp_path)
    assert written.returncode == 0, written.stdout + written.stderr
    assert "a value is required" in written.stdout
    assert "LCM_PASSWORD='p4ss'" in (tmp_path / ".env").read_text()
    planned = run(tmp_path, "plan", "--date", str(YESTERDAY))
    assert planned.returncode == 0, planned.stderr


def test_init_takes_the_site_code_of_a_widget(tmp_path: Path, programme: Programme) -> None:
    start = moscow_today() - timedelta(days=3)
    source = programme(start=start, now=moscow_now(), clients=6)
    inputs = [source.url, "", "", "", "w1dg3t", str(start), "", ""]
    written = _init(inputs, environment(tmp_path), tmp_path)
    assert written.returncode == 0, written.stdout + written.stderr
    assert "LCM_SITE_CODE='w1dg3t'" in (tmp_path / ".env").read_text()
    assert "w1dg3t" not in written.stdout


def test_init_prompts_checks_and_writes_the_settings(tmp_path: Path, programme: Programme) -> None:
    start = moscow_today() - timedelta(days=6)
    source = programme(start=start, now=moscow_now(), clients=12, token="424242")

    def init(token: str, *words: str) -> subprocess.CompletedProcess[str]:
        inputs = ["nonsense", source.url, "", token, str(start), "", ""]
        variables = {
            name: value for name, value in environment(tmp_path).items() if name != "LCM_HOME"
        }
        return _init(inputs, variables, tmp_path, *words)

    without_terminal = run(tmp_path, "init")
    assert (without_terminal.returncode, "no terminal" in without_terminal.stderr) == (2, True)
    refused = init("777")
    assert refused.returncode == 1, refused.stderr
    assert "Nothing was written" in refused.stdout
    assert "LCM_TOKEN" in refused.stdout
    assert not (tmp_path / ".env").exists()

    written = init("424242")
    assert written.returncode == 0, written.stdout + written.stderr
    assert "with a host" in written.stdout
    # The new warehouse is what the command is for, and nothing to be warned of.
    assert "the first sync creates it" in written.stdout
    assert "Nothing was ever synced" not in written.stdout
    path = tmp_path / ".env"
    assert path.stat().st_mode & 0o077 == 0
    assert f"LCM_START_DATE='{start}'" in path.read_text()
    assert "424242" not in written.stdout
    planned = run(tmp_path, "plan", "--date", str(YESTERDAY))
    assert planned.returncode == 0, planned.stderr

    assert init("424242").returncode == 2
    before = path.read_text()
    assert init("777", "--force").returncode == 1
    assert path.read_text() == before
    assert init("424242", "--force").returncode == 0
    assert (tmp_path / ".env.bak").read_text() == before


def test_an_init_that_cannot_write_leaves_the_earlier_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LCM_TOKEN=1\n")
    inputs = ["http://127.0.0.1:9/", "", "2", "2026-03-01", "", ""]
    options = ("--force", "--unchecked")
    failed = _init(inputs, environment(tmp_path), tmp_path, *options, limit="0")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "lcm: " in failed.stderr
    assert (tmp_path / ".env").read_text() == "LCM_TOKEN=1\n"
    assert [path.name for path in tmp_path.glob(".env*")] == [".env"]


@pytest.mark.slow
def test_a_sync_succeeds_although_a_custom_view_blocks_an_old_mart(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    start = moscow_today() - timedelta(days=3)
    source = programme(start=start, now=moscow_now(), clients=6)
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    with warehouse.connect(autocommit=True) as session:
        # An older version of the mart, with a column that the current one does not have.
        session.execute("drop materialized view mart.card_mix")
        session.execute("create materialized view mart.card_mix as select 1 as old_column")
        session.execute("create view public.mine as select old_column from mart.card_mix")
        session.execute("update public.lcm_marts set checksum = 'old' where name = 'card_mix'")
    synced = run(tmp_path, "sync", "--date", str(start), **variables)
    assert synced.returncode == 3, synced.stderr
    assert "mine: " in synced.stderr
    assert "lcm migrate" in synced.stderr
    assert _days(warehouse, "operations") == [start]
    assert "are those of another version" in run(tmp_path, "doctor", **variables).stdout
    migrated = run(tmp_path, "migrate", **variables)
    assert (migrated.returncode, "Traceback" in migrated.stderr) == (1, False)
    assert "mine: " in migrated.stderr
    with warehouse.connect(autocommit=True) as session:
        session.execute("drop view public.mine")
    assert run(tmp_path, "sync", "--date", str(start), **variables).returncode == 0
    with warehouse.connect() as session:
        found = session.execute("select count(*) from mart.card_mix where cards > 0").fetchone()
    assert found is not None
    assert found[0] > 0


@pytest.mark.slow
def test_one_client_or_one_feed_can_be_reread_in_full(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    start = moscow_today() - timedelta(days=3)
    source = programme(start=start, now=moscow_now(), clients=6)
    variables = {
        "LCM_API_URL": source.url,
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_AUDIT_SHARE": "0",
        "LCM_LOOKBACK_DAYS": "0",
    }
    assert run(tmp_path, "sync", "--yesterday", **variables).returncode == 0
    with warehouse.connect(autocommit=True) as session:
        row = session.execute(
            "select client_id from core.operations group by 1 order by count(*) desc limit 1"
        ).fetchone()
        assert row is not None
        client = str(row[0])

        def damage() -> None:
            session.execute("delete from core.operations where client_id = %s", row)

        def stored() -> int:
            found = session.execute(
                "select count(*) from core.operations where client_id = %s", row
            ).fetchone()
            return int(found[0]) if found else 0

        rows = stored()
        damage()
        again = run(tmp_path, "sync", "--client", client, **variables)
        assert again.returncode == 0, again.stderr
        assert (stored(), "lcm marts" in again.stdout) == (rows, True)
        assert "deferred" not in again.stdout
        for words in (("--client", client), ("--feed", "operations")):
            damage()
            unsure = run(tmp_path, "reset", *words, **variables)
            assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
            assert run(tmp_path, "reset", "--yes", *words, **variables).returncode == 0
            assert stored() == 0
            missing = run(tmp_path, "sync", "--missing", **variables)
            assert (missing.returncode, "nothing to sync" in missing.stdout) == (0, False)
            assert stored() == rows
        days = "select count(*) from sync.registration_days where fingerprint is null"
        assert (
            run(tmp_path, "reset", "--yes", "--feed", "registrations", **variables).returncode == 0
        )
        assert session.execute(days).fetchone() != (0,)
        assert run(tmp_path, "sync", "--missing", **variables).returncode == 0
        assert session.execute(days).fetchone() == (0,)
        assert "nothing to sync" in run(tmp_path, "sync", "--missing", **variables).stdout
    for wrong in (
        ("sync", "--client", "42"),
        ("sync", "--client", client, "--yesterday"),
        ("sync", "--client", client, "--feed", "registrations"),
        ("sync", "--client", "99999999999999999999"),
        ("reset", "--yes", "--client", "42"),
        ("reset",),
        ("reset", "--feed", "lead"),
    ):
        refused = run(tmp_path, *wrong, **variables)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), wrong
