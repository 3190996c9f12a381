"""Values of rows do not leak into errors, resolved quarantine rows, logs or readable files."""

import stat
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.cli.failures import message_of
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.access.bi_logins import ensure_bi_login
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.redaction import RowRefusedError
from tests.commands import run
from tests.conftest import MakeSettings, Programme
from tests.syncing import MARCH_OPTIONS, sync_everything


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    return programme(clients=6, habits=("bad_rows=0.1",))


def test_a_database_error_in_a_publish_contains_no_row(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    with warehouse.connect() as session:
        session.execute("alter table core.clients add constraint no_phones check (phone is null)")
    with pytest.raises(RowRefusedError, match="no_phones") as refused:
        sync_everything(make_settings(source, warehouse), warehouse)
    customers = source.world.programme.customers.values()
    phones = [str(one.profile.Phone) for one in customers if one.profile.Phone]
    assert phones
    assert not [phone for phone in phones if phone in str(refused.value)]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into core.clients (client_id, phone) values (9031234567, 'x9031234567')",
        "insert into core.clients (client_id, phone) values (9031234567, 1), (9031234567, 1)",
        "insert into core.clients (client_id, phone) values (null, 9031234567)",
    ],
)
def test_the_final_message_of_a_command_contains_no_value(
    warehouse: Warehouse, statement: str
) -> None:
    with warehouse.connect() as session, pytest.raises(Exception, match="9031234567") as refused:
        session.execute(statement.encode())
    assert "9031234567" not in message_of(refused.value)
    assert "SQLSTATE 2" in message_of(refused.value)


def test_the_final_message_of_a_command_quotes_no_statement(warehouse: Warehouse) -> None:
    fail = """do $$ begin
        raise exception 'No space left on device'
            using errcode = 'disk_full', hint = 'Check free disk space.';
    end $$"""
    with warehouse.connect() as session, pytest.raises(psycopg.OperationalError) as refused:
        session.execute(fail.encode())
    assert "CONTEXT" in str(refused.value)
    assert message_of(refused.value, is_resumable=True) == (
        "No space left on device. Check free disk space. What was done is kept: run the same"
        " command again to go on"
    )


@pytest.mark.slow
def test_the_error_of_a_sync_quotes_no_statement_of_a_mart(
    tmp_path: Path, source: RunningSimulator, warehouse: Warehouse
) -> None:
    with warehouse.connect() as session:
        session.execute(
            """create function mart.fail() returns trigger language plpgsql as $$ begin
                raise exception 'No space left on device' using errcode = 'disk_full';
            end $$"""
        )
        session.execute(
            "create trigger fail before insert on mart.points_movements"
            " execute function mart.fail()"
        )
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    ended = run(tmp_path, "sync", *MARCH_OPTIONS, "-q", **variables)
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "No space left on device. All feeds are published: lcm marts refreshes the marts\n"
    )
    assert "PL/pgSQL" not in ended.stderr


@pytest.mark.slow
def test_the_error_of_a_sync_names_the_mart_and_no_class_of_python(
    tmp_path: Path, source: RunningSimulator, warehouse: Warehouse
) -> None:
    with warehouse.connect() as session:
        session.execute("update mart.parameters set point_value = 999999999999999")
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}
    ended = run(tmp_path, "sync", *MARCH_OPTIONS, "-q", **variables)
    assert ended.returncode == 1
    _, step, reason = ended.stderr.split(": ", 2)
    assert step.startswith("refreshed_marts_of_")
    assert reason.startswith("mart.")
    assert "numeric value out of range, SQLSTATE 22003" in reason


def test_a_resolved_quarantine_row_loses_its_text(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(source, warehouse, audit_share=1.0)
    sync_everything(settings, warehouse)
    with warehouse.connect() as session:
        held = session.execute(
            "select client_id from sync.quarantine where feed = 'operations' limit 1"
        ).fetchone()
    assert held is not None
    source.world.mutate("delete_all", held[0])
    sync_everything(make_settings(source, warehouse, audit_share=1.0, delete_fuse=1.0), warehouse)
    with warehouse.connect() as session:
        rows = session.execute(
            "select resolved_at is null, raw = '' from sync.quarantine"
            " where feed = 'operations' and client_id = %s",
            held,
        ).fetchall()
    assert rows
    assert set(rows) == {(False, True)}


def test_a_bad_row_that_comes_back_has_its_text_again(warehouse: Warehouse) -> None:
    row = {
        "feed": "operations", "client_id": 7, "day": None, "digest": b"7", "table": "operations",
        "reason": "bad", "raw": '{"Id":"x"}', "context": "", "run_id": 1,
    }  # fmt: skip
    found = b"select resolved_at is null, raw, first_seen_at = now() from sync.quarantine"
    with warehouse.connect() as session:
        session.execute(query("quarantine_row"), row)
        session.execute(
            "update sync.quarantine"
            " set resolved_at = now(), raw = '', first_seen_at = now() - interval '1 day'"
        )
        for _ in range(2):
            session.execute(query("quarantine_row"), row)
            assert session.execute(found).fetchall() == [(True, row["raw"], True)]


def test_the_server_log_never_contains_the_password_of_a_login(warehouse: Warehouse) -> None:
    ensure_bi_login(warehouse, name="private_bi", password="p4ssw0rd-of-bi")
    with warehouse.connect(autocommit=True) as session:
        try:
            row = session.execute(
                "select rolpassword from pg_authid where rolname = 'private_bi'"
            ).fetchone()
            assert row is not None
            assert row[0].startswith("SCRAM-SHA-256$")
        finally:
            session.execute("drop role private_bi")


def test_rows_deleted_by_hand_do_not_break_the_next_sync(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(source, warehouse, audit_share=1.0)
    sync_everything(settings, warehouse)
    with warehouse.connect() as session:
        row = session.execute("select min(client_id) from core.clients").fetchone()
        assert row is not None
        for table in ("operations", "leads", "cards", "registrations", "clients"):
            session.execute(f"delete from core.{table} where client_id = %s".encode(), row)
    reports = sync_everything(settings, warehouse)
    assert all(report.pending == 0 for report in reports.values())


@pytest.mark.slow
def test_only_the_owner_can_read_the_folder_of_dagster(
    tmp_path: Path, source: RunningSimulator
) -> None:
    home = tmp_path / "home"
    variables = {"LCM_API_URL": source.url, "LCM_HOME": str(home)}
    assert run(tmp_path, "sync", *MARCH_OPTIONS, **variables).returncode in (0, 3)
    folders = [path for path in home.iterdir() if path.is_dir()]
    assert folders
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folders} == {0}
