"""Marts that are stored as tables: a refresh computes the clients and the days that changed, alone.

The clients are those whose operations a publish changed; for a mart that changes as days
pass, those with a lot that expired as well. Rows are compared before they are written: a client
whose rows are as before is left alone, and the days on which a cheque differs are those that the
marts kept by day or by month compute. Cheques and lots know no present day,
so a quiet day costs them its own clients.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Self

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.marts.definitions import Mart
from lcm_pipeline.warehouse.queries import composed, query

# After so many rows, what reads them in the same transaction needs fresh statistics.
_MANY_ROWS = 10_000
# Marts kept by day or by month are computed from it.
_DATED = "cheques"


@dataclass(frozen=True)
class Elapsed:
    """What came since the last refresh: days after the one through the other, new parameters."""

    is_everyone: bool
    has_moved: bool
    after_day: date | None
    last_day: date | None


@dataclass
class IncrementalRefresher:
    """Brings tables up to date within one transaction, each after those that it reads.

    is_everyone: compute all of them. passed: None where no days can have passed.
    """

    session: psycopg.Connection
    is_everyone: bool
    passed: Elapsed | None = None
    _has_every_day: bool = field(default=False, init=False)

    @classmethod
    def of_changes(cls, session: psycopg.Connection, *, is_everyone: bool) -> Self:
        """For what changed since the last refresh; is_everyone: or for all, changed or not."""
        with session.cursor(row_factory=class_row(Elapsed)) as cursor:
            passed = cursor.execute(query("days_passed")).fetchone()
        is_everyone = is_everyone or passed is None or passed.is_everyone
        keeper = cls(session, is_everyone, passed)
        if is_everyone:
            session.execute(query("clear_changed_clients"))
        keeper._scope("scope_everyone" if is_everyone else "scope_changed_clients")
        if passed is not None and passed.has_moved and not is_everyone:
            session.execute(query("scope_passed_days"), vars(passed))
        return keeper

    @classmethod
    def of_everyone(cls, session: psycopg.Connection) -> Self:
        """For tables that were just made. What publishes recorded stays, for the other tables."""
        keeper = cls(session, is_everyone=True)
        keeper._scope("scope_everyone")
        return keeper

    def replace(self, mart: Mart) -> int:
        """Compute what changed of a table; returns the rows written."""
        if self.is_everyone:
            rows = self._replace_all(mart)
        elif mart.refreshed_by == "client":
            self._widen(mart)
            rows = self._replace_clients(mart)
        else:
            rows = self._replace_days(mart)
        if rows > _MANY_ROWS:
            self.session.execute(SQL("analyze {mart}").format(**_names(mart)))
        return rows

    def close(self) -> None:
        """Leave the scopes empty."""
        self.session.execute(query("clear_scope"))
        self.session.execute(query("clear_days"))

    def _scope(self, name: str, **values: object) -> None:
        self.session.execute(query(name), values)
        self.session.execute("analyze refresh.scope")

    def _widen(self, mart: Mart) -> None:
        """Add the clients to whom something happened by the passing of days, where it matters."""
        if self.passed and self.passed.has_moved and "as_of" in mart.reads:
            self._scope("scope_passed_clients", **vars(self.passed))
            self.passed = None

    def _replace_all(self, mart: Mart) -> int:
        if mart.refreshed_by != "client" and not self._has_every_day:
            self.session.execute(query("scope_every_day"))
            self.session.execute("analyze refresh.days")
            self._has_every_day = True
        names = _names(mart)
        self.session.execute(composed("clear_mart", **names))
        if mart.refreshed_by == "client":
            return self.session.execute(
                composed("insert_scope_of_mart_by_client", **names)
            ).rowcount
        return self.session.execute(composed("insert_scope_of_mart", **names)).rowcount

    def _replace_days(self, mart: Mart) -> int:
        """Write the days in scope, or their months."""
        self.session.execute("analyze refresh.days")
        unit = mart.refreshed_by or ""
        scope = {"scope": Identifier("refresh", f"{unit}s"), "day": Identifier(unit)}
        self.session.execute(composed("delete_scope_of_mart", **_names(mart), **scope))
        return self.session.execute(composed("insert_scope_of_mart", **_names(mart))).rowcount

    def _replace_clients(self, mart: Mart) -> int:
        """Write the clients of whom a row differs, and note its day."""
        names = _names(mart)
        # Several statements, which cannot be prepared.
        self.session.execute(composed("compare_clients", **names), prepare=False)
        self.session.execute(composed("delete_differing_clients", **names))
        rows = self.session.execute(composed("insert_differing_clients", **names)).rowcount
        if mart.name == _DATED:
            self.session.execute(query("add_differing_days"))
        self.session.execute(query("drop_comparison"))
        return rows


def _names(mart: Mart) -> dict[str, Identifier]:
    """The table of a mart, and the view that is its formula."""
    return {"mart": Identifier("mart", mart.name), "formula": Identifier("refresh", mart.name)}
