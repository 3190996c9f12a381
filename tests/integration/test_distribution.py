"""The tables of docs/scaling.md could be distributed by client with Citus.

Checked in pg_catalog, without Citus. Requirements of `create_distributed_table`: a distributed
table has the column, each of its unique and primary keys contains it as a plain column, and its
foreign keys refer to reference tables, or to distributed tables by that column.
"""

import re

from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.tables import CORE_TABLES
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.runs import begin_run
from lcm_pipeline.warehouse.ingest.staging import make_staging
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.architecture.repository import ROOT
from tests.syncing import MARCH

_TABLES = """
select format('%s.%s', nspname, relname)
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
where nspname in ('core', 'history', 'staging', 'sync', 'outbox', 'refresh')
    and relkind in ('r', 'p') and not relispartition
"""
_COLUMNS = """
select format_type(atttypid, atttypmod) from pg_attribute
where attrelid = %s::regclass and attname = 'client_id' and not attisdropped
"""
_KEYS_WITHOUT = """
select indexrelid::regclass::text from pg_index
where indrelid = %(table)s::regclass and (indisunique or indisexclusion)
    and not (
        select attnum from pg_attribute where attrelid = indrelid and attname = 'client_id'
    ) = any((indkey::smallint[])[0:indnkeyatts - 1])
"""
_FOREIGN_KEYS = """
select format('%%s.%%s', nspname, target.relname),
    array(select attname::text from pg_attribute
          where attrelid = conrelid and attnum = any(conkey)),
    array(select attname::text from pg_attribute
          where attrelid = confrelid and attnum = any(confkey))
from pg_constraint
join pg_class as target on target.oid = confrelid
join pg_namespace on pg_namespace.oid = target.relnamespace
where contype = 'f' and conrelid = %s::regclass and conparentid = 0
"""
_TRIGGERS = "select tgname from pg_trigger where tgrelid = %s::regclass and not tgisinternal"


def _listed(kind: str) -> list[str]:
    """The tables that the page lists as this kind; `schema.*` stands for the whole schema."""
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {kind}[^|]*\|([^|]*)\|", page, re.MULTILINE)
    assert row, f"docs/scaling.md does not say which tables are {kind}"
    return re.findall(r"`([a-z_]+\.[a-z_*]+)`", row[1])


DISTRIBUTED = _listed("distributed")


def test_every_key_allows_distribution_by_client(warehouse: Warehouse) -> None:
    reference = _listed("reference")
    with warehouse.connect() as session:
        for table in DISTRIBUTED:
            assert session.execute(_COLUMNS, (table,)).fetchall() == [("bigint",)], table
            assert session.execute(_KEYS_WITHOUT, {"table": table}).fetchall() == [], table
            assert session.execute(_TRIGGERS, (table,)).fetchall() == [], table
            for target, columns, target_columns in session.execute(
                _FOREIGN_KEYS, (table,)
            ).fetchall():
                co_located = (
                    target in DISTRIBUTED
                    and "client_id" in columns
                    and "client_id" in target_columns
                )
                assert co_located or target in reference, (table, target)
        # A table that could not be distributed: the query reports its key.
        keys = session.execute(_KEYS_WITHOUT, {"table": "core.cards"}).fetchall()
        assert keys == [("core.cards_pkey",)]


def test_every_table_is_distributed_a_reference_table_or_local(warehouse: Warehouse) -> None:
    kinds = {kind: _listed(kind) for kind in ("distributed", "reference", "local")}
    with warehouse.connect() as session:
        tables = [row[0] for row in session.execute(_TABLES).fetchall()]
    for table in tables:
        whole = f"{table.partition('.')[0]}.*"
        where = [kind for kind, names in kinds.items() if table in names]
        where = where or [kind for kind, names in kinds.items() if whole in names]
        assert len(where) == 1, (table, where)
    assert {*DISTRIBUTED, *kinds["reference"]} <= set(tables)
    # Facts are joined by client, so they have to be co-located.
    by_client = {f"core.{table.name}" for table in CORE_TABLES}
    assert by_client <= set(DISTRIBUTED)


def test_staging_tables_have_no_key(warehouse: Warehouse) -> None:
    with ReconnectingSession(warehouse, "test") as reconnecting:
        run = begin_run(reconnecting, "operations", MARCH, Pseudonyms())
        reconnecting.run(lambda session: make_staging(session, run, CORE_TABLES))
        found = reconnecting.run(
            lambda session: session.execute(
                "select count(*) from pg_index join pg_class on pg_class.oid = indrelid"
                " where relnamespace = 'staging'::regnamespace and indisunique"
            ).fetchone()
        )
    assert found == (0,)
