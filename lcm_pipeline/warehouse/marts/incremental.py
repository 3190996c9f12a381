"""Marts that are stored as tables: a refresh computes only the clients and days that changed.

The clients are those of the `scope`, the days those of `affected_days`; `sums` over clients change
by what the clients in scope contributed and contribute. Rows are compared before they are written,
and equal rows are not touched (`differences`). A mart that shows names (of stores, of bonus
sources) is computed in full when a name has changed.
"""

from contextlib import nullcontext

from psycopg.sql import SQL, Composed, Identifier

from lcm_pipeline.warehouse.marts.affected_days import AffectedDays
from lcm_pipeline.warehouse.marts.definitions import Mart
from lcm_pipeline.warehouse.marts.differences import (
    analyze_if_many,
    fill,
    formula_of,
    is_empty,
    replace_all_rows,
    replace_rows,
    write_differing,
)
from lcm_pipeline.warehouse.marts.scope import Scope
from lcm_pipeline.warehouse.marts.sums import Sums
from lcm_pipeline.warehouse.queries import query


class IncrementalRefresher:
    """Refreshes tables within one transaction; the caller passes each after those that it reads."""

    def __init__(self, scope: Scope) -> None:
        self._session = scope.session
        self._scope = scope
        self._days = AffectedDays(scope)
        self._sums = Sums(scope)

    def replace(self, mart: Mart) -> int:
        """Compute the part of a table that changed; returns the number of rows written."""
        if mart.refreshed_by == "rows":
            return replace_rows(self._session, mart)
        if self._scope.is_empty and mart.refreshed_by in ("client", "sums"):
            return 0
        self._sums.copy_contributions(mart)
        if mart.needs_spending_order:
            self._scope.detect_spending_order()
        if mart.refreshed_by == "client" and self._scope.is_full:
            rows = replace_all_rows(self._session, mart)
        elif mart.refreshed_by == "client":
            rows = self._replace_clients(mart)
        elif mart.refreshed_by == "sums":
            with self._sums.computed(mart) as stored_where:
                rows = self._write_differing(mart, Identifier("sums"), SQL(""), stored_where)
        else:
            where = self._days.select(mart)
            if where is None:
                return 0
            rows = self._write_differing(mart, formula_of(mart), where, where)
        analyze_if_many(self._session, mart, rows)
        return rows

    def close(self) -> None:
        """Empty the scope; the formulas return no rows from then on."""
        self._scope.close()

    def _replace_clients(self, mart: Mart) -> int:
        changes = self._scope.changes
        of_scope = SQL("join refresh.scope on scope.client_id = stored.client_id")
        if not changes.has_days:
            return self._write_differing(mart, formula_of(mart), SQL(""), of_scope)
        added = mart.head.get("as days pass, add clients")
        with self._scope.with_added(added, **changes.values) if added else nullcontext():
            rows = self._write_differing(mart, formula_of(mart), SQL(""), of_scope)
            for name in mart.as_days_pass:
                rows += self._session.execute(query(name), changes.values).rowcount
        return rows

    def _write_differing(
        self,
        mart: Mart,
        computed: Identifier,
        computed_where: SQL | Composed,
        stored_where: SQL | Composed,
    ) -> int:
        if self._scope.is_full and is_empty(self._session, mart):
            return fill(self._session, mart, computed, computed_where)
        with write_differing(self._session, mart, computed, computed_where, stored_where) as rows:
            if not self._scope.is_full:
                self._days.follow(mart)
                if record := mart.head.get("record changes"):
                    self._session.execute(query(record))
        return rows
