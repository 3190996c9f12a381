"""Writes only those rows of a mart that differ from what its formula returns now.

The temporary table `differing` has the rows to insert and to delete. An empty mart is filled
without it: in a first refresh the table took longer than most formulas.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.sql import SQL, Composed, Identifier

from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.marts.definitions import Mart
from lcm_pipeline.warehouse.queries import column_list, composed, fetch_column, query
from lcm_pipeline.warehouse.sessions import analyze

# After so many written rows, later statements of the transaction need fresh statistics.
_MANY_ROWS = 10_000


def table_of(mart: Mart) -> Identifier:
    """The table in which a mart is stored."""
    return Identifier("mart", mart.name)


def formula_of(mart: Mart) -> Identifier:
    """The view that computes a mart, of the clients and days in scope."""
    return Identifier("refresh", mart.name)


def columns_of(session: Session, mart: Mart) -> list[tuple[str, str]]:
    """The columns of a mart, in order, with their types."""
    found = session.execute(query("columns_of_mart"), {"mart": f"mart.{mart.name}"}).fetchall()
    return [(str(name), str(kind)) for name, kind in found]


@contextmanager
def write_differing(
    session: Session,
    mart: Mart,
    computed: Identifier,
    computed_where: SQL | Composed,
    stored_where: SQL | Composed,
) -> Iterator[int]:
    """Delete and insert the rows that differ, then yield the number inserted.

    Within the context the temporary table `differing` has the rows that were written and deleted;
    if it is left by an error, the rollback removes the table.

    computed: the relation with the new rows. computed_where, stored_where: a join or a condition
    that limits the rows to compare; the mart's own are called `stored`.
    """
    names = [name for name, _ in columns_of(session, mart)]
    session.execute(
        composed(
            "compare_rows",
            columns=names,
            stored_columns=column_list(names, "stored"),
            computed=computed,
            computed_where=computed_where,
            mart=table_of(mart),
            stored_where=stored_where,
        )
    )
    session.execute(composed("delete_differing", mart=table_of(mart)))
    inserted = session.execute(composed("insert_differing", mart=table_of(mart), columns=names))
    yield inserted.rowcount
    session.execute("drop table differing")


def is_empty(session: Session, mart: Mart) -> bool:
    """Whether a mart has no row."""
    return session.execute(composed("mart_is_empty", mart=table_of(mart))).fetchone() == (True,)


def fill(session: Session, mart: Mart, computed: Identifier, where: SQL | Composed) -> int:
    """Fill an empty mart; returns the number of rows. computed, where: as in `write_differing`."""
    filled = composed(
        "fill_mart",
        mart=table_of(mart),
        columns=[name for name, _ in columns_of(session, mart)],
        computed=computed,
        computed_where=where,
    )
    return session.execute(filled).rowcount


def replace_rows(session: Session, mart: Mart) -> int:
    """Compute a mart with a key in full, and write the rows that differ; returns the number."""
    if is_empty(session, mart):
        rows = fill(session, mart, formula_of(mart), SQL(""))
    else:
        rows = _write_differing_by_key(session, mart)
    analyze_if_many(session, mart, rows)
    return rows


def _write_differing_by_key(session: Session, mart: Mart) -> int:
    names = [name for name, _ in columns_of(session, mart)]
    session.execute(
        composed(
            "compare_by_key",
            computed_columns=column_list(names, "computed"),
            stored_columns=column_list(names, "stored"),
            key=mart.keys,
            formula=formula_of(mart),
            mart=table_of(mart),
        )
    )
    session.execute(composed("delete_differing_by_key", mart=table_of(mart)))
    rows = session.execute(
        composed("insert_differing_by_key", mart=table_of(mart), columns=names)
    ).rowcount
    session.execute("drop table differing")
    return rows


def replace_all_rows(session: Session, mart: Mart) -> int:
    """Write all rows of a mart by client again; returns the number."""
    session.execute(SQL("delete from {}").format(table_of(mart)))
    filled = composed("replace_all_rows", mart=table_of(mart), formula=formula_of(mart))
    return session.execute(filled).rowcount


def analyze_if_many(session: Session, mart: Mart, rows: int) -> None:
    """Analyze the columns by which later formulas join and filter, after many rows were written.

    Autovacuum analyzes the others.
    """
    if rows <= _MANY_ROWS:
        return
    name = f"mart.{mart.name}"
    analyze(session, name, fetch_column(session, "indexed_columns", {"mart": name}))
