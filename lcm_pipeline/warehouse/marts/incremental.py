"""Marts that are kept as tables: a refresh computes the clients and the days that changed, alone.

The clients are those whose operations a publish changed; for a mart that tells what passing days
do, those with a lot that expired as well. Rows are compared before they are written: a client
whose rows are as before is left alone, and the days on which a cheque differs are those that the
marts kept by day or by month compute. Cheques and lots know no present day,
so a quiet day costs them its own clients.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Self

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier

from lcm_pipeline.warehouse.marts.definitions import Mart
from lcm_pipeline.warehouse.queries import query

# After so many rows, what reads them in the same transaction needs fresh statistics.
_MANY_ROWS = 10_000
# Marts kept by day or by month are computed from it.
_DATED = "cheques"

_COMPARE = """
create temp table fresh on commit drop as select * from {formula};
create temp table stale on commit drop as
select kept.* from {kept} as kept join refresh.scope on scope.client_id = kept.client_id;
create temp table differing on commit drop as
(table stale except all table fresh) union all (table fresh except all table stale);
create temp table differing_clients on commit drop as select distinct client_id from differing;
analyze differing_clients
"""


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
            session.execute("delete from refresh.changed_clients")
        keeper._scope("scope_everyone" if is_everyone else "scope_changed_clients")
        if passed is not None and passed.has_moved and not is_everyone:
            session.execute(query("scope_passed_days"), vars(passed))
        return keeper

    @classmethod
    def of_everyone(cls, session: psycopg.Connection) -> Self:
        """For tables that were just made. What publishes noted stays noted, for the others."""
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
            self.session.execute(SQL("analyze {}").format(_kept(mart)))
        return rows

    def close(self) -> None:
        """Leave the scopes empty."""
        self.session.execute("delete from refresh.scope")
        self.session.execute("delete from refresh.days")

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
        self.session.execute(SQL("delete from {}").format(_kept(mart)))
        order = SQL("") if mart.refreshed_by != "client" else SQL(" order by client_id")
        # A client's rows lie together then, on few pages of the table and of its index.
        return self.session.execute(_insert(mart) + order).rowcount

    def _replace_days(self, mart: Mart) -> int:
        """Write the days in scope, or their months."""
        self.session.execute("analyze refresh.days")
        self.session.execute(
            SQL("delete from {} as kept using {} as scope where kept.{day} = scope.{day}").format(
                _kept(mart),
                Identifier("refresh", f"{mart.refreshed_by}s"),
                day=Identifier(mart.refreshed_by or ""),
            )
        )
        return self.session.execute(_insert(mart)).rowcount

    def _replace_clients(self, mart: Mart) -> int:
        """Write the clients of whom a row differs, and note its day."""
        for statement in _COMPARE.split(";"):
            self.session.execute(
                SQL(statement).format(formula=Identifier("refresh", mart.name), kept=_kept(mart))
            )
        self.session.execute(
            SQL(
                "delete from {} as kept using differing_clients"
                " where kept.client_id = differing_clients.client_id"
            ).format(_kept(mart))
        )
        rows = self.session.execute(
            SQL(
                "insert into {} select fresh.* from fresh"
                " join differing_clients on differing_clients.client_id = fresh.client_id"
            ).format(_kept(mart))
        ).rowcount
        if mart.name == _DATED:
            self.session.execute(
                "insert into refresh.days (day) select distinct day from differing"
                " on conflict do nothing"
            )
        self.session.execute("drop table fresh, stale, differing, differing_clients")
        return rows


def _kept(mart: Mart) -> Identifier:
    return Identifier("mart", mart.name)


def _insert(mart: Mart) -> Composed:
    return SQL("insert into {} select * from {}").format(
        _kept(mart), Identifier("refresh", mart.name)
    )
