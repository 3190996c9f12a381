"""Monthly partitions, made ahead and on demand; there is no default partition.

A partition is made as a table of its own and then attached: unlike `create table … partition of`,
that does not lock readers of the parent out.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime

import psycopg
from psycopg import sql

MONTHS_AHEAD = 3
_LOCK = 0x6C636D02
_PARENT_LOCK_TIMEOUT = "10s"


def month_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    """The first day of the month after; date.max's month has none and stays."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def ensure_partitions(
    session: psycopg.Connection, schema: str, table: str, months: Iterable[date]
) -> list[str]:
    """Make the missing partitions of `schema.table`; an autocommit session. Answers their names."""
    wanted = {month_of(month) for month in months}
    missing = sorted(wanted - _existing(session, schema, table))
    return [_make(session, schema, table, month) for month in missing]


def months_ahead(today: date | None = None) -> list[date]:
    """This month and the next ones, so that no load waits for a partition."""
    months = [month_of(today or datetime.now(UTC).date())]
    for _ in range(MONTHS_AHEAD):
        months.append(next_month(months[-1]))
    return months


def _existing(session: psycopg.Connection, schema: str, table: str) -> set[date]:
    rows = session.execute(
        "select child.relname from pg_inherits"
        " join pg_class child on child.oid = inhrelid"
        " where inhparent = %s::regclass",
        (f"{schema}.{table}",),
    )
    return {datetime.strptime(name[-6:], "%Y%m").date() for (name,) in rows}


def _make(session: psycopg.Connection, schema: str, table: str, month: date) -> str:
    name = f"{table}_{month.year:04d}{month.month:02d}"
    parent, child = sql.Identifier(schema, table), sql.Identifier(schema, name)
    with session.transaction():
        session.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        if month in _existing(session, schema, table):
            return name
        session.execute(sql.SQL("set local lock_timeout = {}").format(_PARENT_LOCK_TIMEOUT))
        session.execute(
            sql.SQL("create table {} (like {} including defaults including constraints)").format(
                child, parent
            )
        )
        session.execute(
            sql.SQL("alter table {} attach partition {} for values from ({}) to ({})").format(
                parent, child, month.isoformat(), next_month(month).isoformat()
            )
        )
    return name
