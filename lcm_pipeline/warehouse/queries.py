"""The SQL of the project: migrations in order, statements and report queries by name.

It is in `sql/`, next to the package in a checkout and inside the package in a wheel. The statements
of a table are in one file, `sql/queries/<schema>/<table>.sql`, each under a line `-- name: <name>`
and comments on its purpose and parameters. Names are unique across all files.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Composable, Composed, Identifier

from lcm_pipeline.files import shipped

RowT = TypeVar("RowT")

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENTS = re.compile(r"\A(?:(-- tag: .*\n)|--.*\n)+")


def sql_folder() -> Path:
    """The folder of all SQL: `migrations`, `queries`, `marts` and `reports`."""
    return shipped("sql")


@cache
def queries() -> dict[str, str]:
    """Every statement of sql/queries, by its name.

    Without the comments before it, in which `composed` would replace {names} too. A tag stays: the
    statements that a server executes are recognized by it.
    """
    found: dict[str, str] = {}
    for path in sorted((sql_folder() / "queries").rglob("*.sql")):
        _, *parts = _NAME.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"two statements are named {name}; one is in {path}")
            # No semicolon, so that a statement can be part of a larger one.
            found[name] = _COMMENTS.sub(r"\1", text).strip().removesuffix(";")
    return found


@cache
def query(name: str) -> bytes:
    """The statement of that name; raises KeyError if there is none."""
    return queries()[name].encode()


def fetch_value(
    session: psycopg.Connection, name: str, values: Mapping[str, Any] | None = None
) -> Any | None:
    """The first column of the row that a statement returns; None without a row."""
    row = session.execute(query(name), values).fetchone()
    return None if row is None else row[0]


def fetch_column(
    session: psycopg.Connection, name: str, values: Mapping[str, Any] | None = None
) -> list[Any]:
    """The first column of the rows that a statement returns."""
    return [row[0] for row in session.execute(query(name), values).fetchall()]


def fetch_rows(
    session: psycopg.Connection,
    kind: type[RowT],
    name: str,
    values: Mapping[str, Any] | None = None,
) -> list[RowT]:
    """The rows that a statement returns, as instances of a class with its columns."""
    with session.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query(name), values).fetchall()


def fetch_row(
    session: psycopg.Connection,
    kind: type[RowT],
    name: str,
    values: Mapping[str, Any] | None = None,
) -> RowT | None:
    """The row that a statement returns, as `fetch_rows`; None without a row."""
    return next(iter(fetch_rows(session, kind, name, values)), None)


def fetch_count(session: psycopg.Connection, statement: SQL | Composed) -> int:
    """The number that a statement selects; 0 without a row."""
    row = session.execute(statement).fetchone()
    return int(row[0]) if row else 0


def composed(name: str, **parts: Composable | str | Sequence[str]) -> Composed:
    """The statement of that name, with its {placeholders} replaced by tables and columns.

    A str is an identifier, several are a list of columns.
    """
    return SQL(queries()[name]).format(**{key: _part(part) for key, part in parts.items()})


def column_list(names: Sequence[str], relation: str | None = None) -> Composed:
    """Columns for a statement, separated by commas; relation: the one of several that has them."""
    parts = [Identifier(relation, name) if relation else Identifier(name) for name in names]
    return SQL(", ").join(parts)


def _part(part: Composable | str | Sequence[str]) -> Composable:
    if isinstance(part, Composable):
        return part
    return column_list([part] if isinstance(part, str) else part)


@cache
def report_query(name: str) -> bytes:
    """The text of sql/reports/<name>.sql, which reads only the schema mart."""
    return (sql_folder() / "reports" / f"{name}.sql").read_bytes()


def migration_files() -> list[Path]:
    """The migrations, in the order in which they are applied."""
    return sorted((sql_folder() / "migrations").glob("[0-9][0-9][0-9][0-9]_*.sql"))
