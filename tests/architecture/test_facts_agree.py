"""Facts that are stated in several places are compared."""

import re
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.cli.commands import HELP_LINES
from lcm_pipeline.model.tables import CORE_TABLES, CoreTable
from lcm_pipeline.settings import Settings
from lcm_pipeline.transform.pseudonyms import HASHED_COLUMNS
from lcm_pipeline.transform.values import EARLIEST_DAY
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.privacy import pseudonymizing

ROOT = Path(__file__).resolve().parents[2]

_BOOKKEEPING = {"sync_run_id", "first_seen_at", "synced_at", "deleted_at"}
_TYPE_NAMES = {
    "int8": "bigint",
    "int4": "integer",
    "int2": "smallint",
    "timestamptz": "timestamp with time zone",
    "bool": "boolean",
}


@pytest.mark.parametrize("table", CORE_TABLES, ids=lambda table: table.name)
def test_a_table_of_the_model_matches_the_migrations(
    table: CoreTable, warehouse: Warehouse
) -> None:
    with warehouse.connect() as session:
        columns = dict(
            session.execute(
                "select column_name, data_type from information_schema.columns"
                " where table_schema = 'core' and table_name = %s",
                (table.name,),
            ).fetchall()
        )
        key = _primary_key(session, table.name)
    modelled = {
        name: _TYPE_NAMES.get(kind, kind)
        for name, kind in zip(table.staging_columns, table.staging_types, strict=True)
        if name in table.columns and name != "extra"
    }
    assert columns.pop("extra") == "jsonb"
    assert {n: t for n, t in columns.items() if n not in _BOOKKEEPING} == modelled
    assert key == table.key


def test_a_new_key_rewrites_every_column_that_a_reading_hashes(warehouse: Warehouse) -> None:
    hashed = {column for columns in HASHED_COLUMNS.values() for column in columns}
    with warehouse.connect() as session:
        stored = session.execute(
            "select nspname, relname, attname from pg_attribute"
            " join pg_class on pg_class.oid = attrelid"
            " join pg_namespace on pg_namespace.oid = relnamespace"
            " where nspname in ('core', 'history') and relkind in ('r', 'p') and not relispartition"
            " and attname = any(%s)",
            (list(hashed),),
        ).fetchall()
    assert {*pseudonymizing._PHONES, *pseudonymizing._CARDS} == set(stored)


def test_the_marts_begin_with_the_first_day_of_which_rows_are_stored(warehouse: Warehouse) -> None:
    with warehouse.connect() as session:
        row = session.execute("select mart.first_plausible_day()").fetchone()
    assert row == (EARLIEST_DAY,)


def test_every_schema_table_and_column_has_a_comment(warehouse: Warehouse) -> None:
    with warehouse.connect() as session:
        uncommented = session.execute(
            """
            select n.nspname || '.' || c.relname || coalesce('.' || a.attname, '')
            from pg_class c
            join pg_namespace n on n.oid = c.relnamespace
            left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where n.nspname in ('core', 'history', 'sync', 'outbox', 'mart')
              and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
              and (col_description(c.oid, a.attnum) is null or obj_description(c.oid) is null)
            """
        ).fetchall()
    assert uncommented == []


def test_env_example_lists_each_setting_with_its_default() -> None:
    listed = dict(
        re.findall(r"^#?(LCM_[A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )
    fields = Settings.model_fields
    assert set(listed) == {f"LCM_{name.upper()}" for name in fields}
    for name, field in fields.items():
        text = listed[f"LCM_{name.upper()}"]
        if field.default is not None:
            assert getattr(Settings(**{name: text}), name) == field.default, name


def test_the_readme_names_each_command_and_only_real_ones() -> None:
    named = set(re.findall(r"\blcm ([a-z-]+)\b", (ROOT / "README.md").read_text()))
    commands = set(HELP_LINES)
    assert named == commands


def test_the_readme_is_under_200_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def _primary_key(session: psycopg.Connection, table: str) -> tuple[str, ...]:
    rows = session.execute(
        "select a.attname from pg_index i"
        " cross join unnest(i.indkey) with ordinality as k (attnum, position)"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum"
        " where i.indrelid = %s::regclass and i.indisprimary order by k.position",
        (f"core.{table}",),
    )
    return tuple(row[0] for row in rows.fetchall())
