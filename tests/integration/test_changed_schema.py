"""A table or column of core that somebody renamed or dropped is named before anything is read."""

from pathlib import Path

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.schema import columns_of_migrations
from tests.commands import run

_COLUMNS = """
    select nspname, relname, attname
    from pg_attribute
    inner join pg_class on pg_class.oid = attrelid
    inner join pg_namespace on pg_namespace.oid = relnamespace
    where
        nspname in ('core', 'history')
        and relkind in ('r', 'p')
        and not relispartition
        and attnum > 0
        and not attisdropped
"""


@pytest.mark.parametrize(
    ("change", "undo", "missing"),
    [
        pytest.param(
            "alter table core.leads rename to old_leads",
            "alter table core.old_leads rename to leads",
            "core.leads is missing",
            id="a renamed table",
        ),
        pytest.param(
            "alter table core.clients rename column phone to tel",
            "alter table core.clients rename column tel to phone",
            "core.clients.phone is missing",
            id="a renamed column",
        ),
        pytest.param(
            "drop table core.leads cascade", None, "core.leads is missing", id="a dropped table"
        ),
        pytest.param(
            "alter table core.cards drop column card_type, drop column extra",
            None,
            "core.cards.card_type and 1 more are missing",
            id="dropped columns",
        ),
    ],
)
def test_commands_name_what_is_missing_and_what_to_do(
    tmp_path: Path, warehouse: Warehouse, change: str, undo: str | None, missing: str
) -> None:
    address = {"LCM_API_URL": "http://127.0.0.1:1/", "LCM_DATABASE_URL": warehouse.url}
    with warehouse.connect(autocommit=True) as session:
        session.execute(change.encode())
    for words in ("sync --date 2026-03-01", "status", "migrate"):
        done = run(tmp_path, *words.split(), **address)
        assert done.returncode == 2, done.stderr
        assert "differs from what the migrations made" in done.stderr
        assert missing in done.stderr
        assert "alter table … rename" in done.stderr
        assert "restore it from a backup" in done.stderr
    doctor = " ".join(run(tmp_path, "doctor", **address).stdout.split())
    assert missing in doctor
    assert "correct that, then run lcm doctor again" in doctor
    if undo is not None:
        with warehouse.connect(autocommit=True) as session:
            session.execute(undo.encode())
        assert run(tmp_path, "status", **address).returncode == 0


def test_all_columns_of_the_migrations_are_checked(warehouse: Warehouse) -> None:
    with warehouse.connect() as session:
        found = set(session.execute(_COLUMNS).fetchall())
    assert found == set(columns_of_migrations())
