"""Monthly partitions, created on demand; there is no default partition.

A function of the owner creates them (`sync.make_month`), so that the user of a sync need not own
the tables. Only months with plausible dates get one: a table for each month since 1753 would slow
down every query and every backup.
"""

from collections.abc import Iterable
from datetime import date, datetime

from lcm_pipeline.model.texts import counted
from lcm_pipeline.transform.values import EARLIEST_DAY
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import fetch_column, fetch_value, query

# The transform quarantines rows of the future already; this limit protects against any caller.
MAX_YEARS_AHEAD = 10


class MonthsRefusedError(ValueError):
    """Rows are dated in months that get no partition; nothing was created."""


def month_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    """The first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def ensure_partitions(
    session: Session, schema: str, table: str, months: Iterable[date]
) -> list[str]:
    """Create the missing partitions of `schema.table`; returns their names.

    session: an autocommit session.

    Raises MonthsRefusedError for months before EARLIEST_DAY, or more than MAX_YEARS_AHEAD
    years from today by the clock of the database, that have no partition yet.
    """
    wanted = {month_of(month) for month in months}
    missing = sorted(wanted - _existing(session, schema, table))
    if not missing:
        return []
    first, this = month_of(EARLIEST_DAY), _this_month(session)
    last = this.replace(year=this.year + MAX_YEARS_AHEAD)
    if absurd := [month for month in missing if not first <= month <= last]:
        count = len(absurd) - 1
        others = f" and {counted(count, 'other month')}" if count else ""
        raise MonthsRefusedError(
            f"{schema}.{table}: rows are dated in {absurd[0].isoformat()[:7]}{others}, but only"
            f" months from {first.isoformat()[:7]} to {last.isoformat()[:7]} get a partition"
        )
    return [_make(session, schema, table, month) for month in missing]


def months_of_now(session: Session) -> list[date]:
    """The months of `now()` in a transaction that begins soon: this month, and the next one."""
    this = _this_month(session)
    return [this, next_month(this)]


def month_of_partition(name: str) -> date:
    """The month in the name of a partition, which ends with it: `operations_202603`."""
    return datetime.strptime(name[-6:], "%Y%m").date()


def _this_month(session: Session) -> date:
    """The month in UTC by the clock of the database, which dates the rows of `history`."""
    month: date | None = fetch_value(session, "month_of_server")
    assert month is not None  # noqa: S101 - the query returns one row
    return month


def _existing(session: Session, schema: str, table: str) -> set[date]:
    values = {"table_name": f"{schema}.{table}"}
    return {month_of_partition(name) for name in fetch_column(session, "partitions_of", values)}


def _make(session: Session, schema: str, table: str, month: date) -> str:
    with session.transaction():
        locks.hold(session, locks.PARTITIONS)
        if month not in _existing(session, schema, table):
            values = {"schema_name": schema, "table_name": table, "month": month}
            session.execute(query("make_month"), values)
    return f"{table}_{month.year:04d}{month.month:02d}"
