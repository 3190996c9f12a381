"""A warehouse of a newer version stays unchanged; a failed or killed migration is repeated."""

from pathlib import Path

import pytest

from lcm_pipeline.warehouse import migrations
from lcm_pipeline.warehouse.access import rights
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import migration_files
from tests.commands import run

_COMMANDS = ("sync --date 2026-03-01", "verify", "push", "migrate", "status", "doctor")
_FAILED_CHECK = 1


@pytest.fixture
def newer(warehouse: Warehouse) -> Warehouse:
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into public.lcm_migrations (name, checksum)"
            " values ('9999_of_tomorrow.sql', 'x')"
        )
    return warehouse


def test_each_command_exits_with_2_and_advises_an_update(tmp_path: Path, newer: Warehouse) -> None:
    for words in _COMMANDS:
        done = run(
            tmp_path, *words.split(), LCM_API_URL="http://127.0.0.1:1/",
            LCM_DATABASE_URL=newer.url,
        )  # fmt: skip
        output = done.stdout + done.stderr
        # lcm doctor checks everything else too, and exits with 1 for any finding.
        expected = _FAILED_CHECK if words == "doctor" else 2
        assert done.returncode == expected, f"lcm {words}: {output}"
        assert "newer version of lcm (9999_of_tomorrow.sql)" in " ".join(output.split()), output
        assert "Traceback" not in output
    with newer.connect() as session:
        (files,) = session.execute("select max(name) from public.lcm_migrations").fetchall()
    assert files == ("9999_of_tomorrow.sql",)


def test_a_failed_migration_changes_nothing_and_says_what_to_run(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "9999_break.sql"
    broken.write_text("create table public.half (id bigint); select 1 / 0;")
    files = [*migration_files(), broken]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)
    with pytest.raises(migrations.MigrationError) as raised:
        migrations.migrate(warehouse)
    assert "9999_break.sql failed: division by zero. Nothing of this step" in str(raised.value)
    assert "run `lcm migrate`" in str(raised.value)
    with warehouse.connect() as session:
        assert session.execute("select to_regclass('public.half')").fetchone() == (None,)


def test_a_warning_of_a_migration_is_shown(
    tmp_path: Path,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    warning = tmp_path / "9999_warn.sql"
    warning.write_text("do $$ begin raise warning 'rows of % remain', 'old'; end $$;")
    files = [*migration_files(), warning]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)
    assert migrations.migrate(warehouse) == ["9999_warn.sql"]
    assert caplog.messages.count("rows of old remain") == 1


@pytest.mark.parametrize("step", ["give_to_owner", "grant_rights"])
def test_rights_that_a_killed_migration_did_not_grant_are_granted_by_the_next_one(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def be_killed(_session: object) -> None:
        raise KeyboardInterrupt

    with warehouse.connect(autocommit=True) as session:
        session.execute("update public.lcm_marts set checksum = 'older' where name = 'as_of'")
        session.execute("revoke select on core.operations from lcm_analyst")
    with monkeypatch.context() as patch:
        patch.setattr(rights, step, be_killed)
        with pytest.raises(KeyboardInterrupt):
            migrations.migrate(warehouse)
    migrations.migrate(warehouse)
    with warehouse.connect() as session:
        granted = session.execute(
            "select has_table_privilege('lcm_analyst', 'core.operations', 'select'),"
            " pg_get_userbyid(relowner) from pg_class where oid = 'mart.as_of'::regclass"
        ).fetchone()
    assert granted == (True, "lcm_owner")
    assert migrations.migrate(warehouse) == []
