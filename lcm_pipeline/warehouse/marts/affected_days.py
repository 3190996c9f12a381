"""The days whose rows a refresh computes, of each mart by day or month.

They are the days that passed since the last refresh, and those of changed rows: for each row
written to a table that the mart reads, all dates in the columns that its formula reads, if the row
differs in such a column. So a lot of which only the remainder changed affects no day of a mart that
sums up the points granted.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta

from psycopg.sql import SQL, Composed, Identifier

from lcm_pipeline.warehouse.marts.definitions import NAME_TABLES, RUN_VIEWS, Mart, marts
from lcm_pipeline.warehouse.marts.scope import Scope
from lcm_pipeline.warehouse.queries import composed, query
from lcm_pipeline.warehouse.sessions import analyze

# Publishes record the days on which rows of main tables change: marts by day read operations, or
# the rows of the other feeds.
_OPERATIONS = "operations"
_ROWS_OF_FEEDS = {"feed_rows", "feed_versions", "feeds"}
# Inputs whose changes the query days_passed detects.
_DETECTED_BY_QUERY = RUN_VIEWS | {"parameters", "dated_parameters"}


class AffectedDays:
    """The affected days of all marts, within the transaction of a refresh."""

    def __init__(self, scope: Scope) -> None:
        self._session = scope.session
        self._scope = scope
        self._days = defaultdict[str, set[date]](lambda: set(scope.changes.days))
        self._readers = defaultdict[str, list[Mart]](list)
        stored = marts()
        self._followed = {mart.name for mart in stored if mart.follows_changes} | _DETECTED_BY_QUERY
        for mart in stored:
            if mart.refreshed_by in ("day", "month"):
                for name in mart.reads:
                    self._readers[name].append(mart)
        if not scope.is_full:
            self._take_published_days(stored)

    def select(self, mart: Mart) -> SQL | Composed | None:
        """Fill refresh.days; returns the condition on the rows to write, or None if none are due.

        Formulas that read refresh.days return only these days; for others the condition does it.
        """
        tables = {*NAME_TABLES, _OPERATIONS, *_ROWS_OF_FEEDS}
        is_followed = set(mart.reads) <= self._followed and set(mart.tables) <= tables
        is_renamed = not set(self._scope.changes.renamed).isdisjoint(mart.tables)
        # Something may have changed whose days cannot be derived from rows.
        if self._scope.is_full or not is_followed or is_renamed:
            self._fill(None)
            return SQL("")
        days = self._days[mart.name]
        if not days:
            return None
        if mart.is_running:
            # A day counts on all later ones too, through the last day of this refresh.
            first, last = min(days), self._scope.changes.last_day
            count = 1 if last is None else max((last - first).days + 1, 1)
            days = {first + timedelta(days=ahead) for ahead in range(count)}
        self._fill(days)
        if mart.refreshed_by == "month":
            days = {day.replace(day=1) for day in days}
        return SQL("where {} = any({})").format(Identifier(mart.refreshed_by or ""), sorted(days))

    def follow(self, mart: Mart) -> None:
        """Add the days of the rows that were written, for the marts that read them.

        The table `differing` has these rows.
        """
        for reader in self._readers[mart.name]:
            names = {"reader": f"refresh.{reader.name}", "mart": f"mart.{mart.name}"}
            read = self._session.execute(query("columns_read"), names).fetchall()
            dates = [
                str(name)
                for name, is_date in read
                if is_date and (name == "day" or not reader.is_running)
            ]
            if not dates:
                raise ValueError(f"{reader.name} is incremental, but reads no date of {mart.name}")
            columns = [str(name) for name, _ in read]
            days = self._session.execute(
                composed("days_of_differing", columns=columns, dates=dates)
            ).fetchall()
            self._days[reader.name] |= {day for (day,) in days}

    def _take_published_days(self, stored: Sequence[Mart]) -> None:
        """Take the days on which publishes changed rows."""
        published = self._session.execute(query("changed_days")).fetchall()
        of_operations = {day for name, day in published if name == _OPERATIONS}
        of_others = {day for name, day in published if name != _OPERATIONS}
        for mart in stored:
            if mart.refreshed_by == "day" and _OPERATIONS in mart.tables:
                self._days[mart.name] |= of_operations
            elif mart.refreshed_by == "day" and not _ROWS_OF_FEEDS.isdisjoint(mart.tables):
                self._days[mart.name] |= of_others

    def _fill(self, days: set[date] | None) -> None:
        """Fill refresh.days, for formulas that read it; None: every day with an operation."""
        self._session.execute(query("clear_days"))
        if days is None:
            self._session.execute(query("scope_every_day"))
        else:
            self._session.execute(query("scope_days"), {"days": sorted(days)})
        analyze(self._session, "refresh.days")
