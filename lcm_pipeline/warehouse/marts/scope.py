"""The scope of a refresh: the clients whose rows it computes, and what else has changed.

These are the clients whose operations a publish changed, those who share cheques, lots or cards
with them, and those whose values change by themselves as days pass. The table refresh.scope holds
them; the formulas of marts by client read only their operations.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Self

from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import composed, fetch_row, fetch_value, queries, query
from lcm_pipeline.warehouse.sessions import analyze

# Settings of the statement that reads operations client by client. By its estimates, the planner
# would read all months instead, and would start no workers for a list as short as the scope.
_LOOK_UP_IN_PARALLEL = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "min_parallel_table_scan_size": "0",
    "parallel_tuple_cost": "0",
}


@dataclass(frozen=True)
class ChangesSinceRefresh:
    """What changed since the last refresh besides rows: days, parameters and names.

    The days are those after `after_day`, through `last_day`; they have ended through `through_day`.
    is_full: all clients have to be computed again. has_days: the days differ from those of the last
    refresh. renamed: the tables of core in which a name changed.
    """

    is_full: bool = True
    has_days: bool = False
    after_day: date | None = None
    last_day: date | None = None
    through_day: date | None = None
    renamed: list[str] = field(default_factory=list)

    @property
    def days(self) -> set[date]:
        """The days that passed."""
        if not self.has_days or self.after_day is None or self.last_day is None:
            return set()
        count = (self.last_day - self.after_day).days
        return {self.after_day + timedelta(days=ahead) for ahead in range(1, count + 1)}

    @property
    def values(self) -> dict[str, object]:
        """The parameters of the statements that let days pass."""
        return {
            "after_day": self.after_day,
            "last_day": self.last_day,
            "through_day": self.through_day,
        }


@dataclass
class Scope:
    """The clients that a refresh computes, within its transaction.

    is_full: all clients, and all days. is_empty: no client changed and no day passed, so marts by
    client, and sums over clients, stay as they are.
    """

    session: Session
    is_full: bool
    changes: ChangesSinceRefresh = field(default_factory=ChangesSinceRefresh)
    is_empty: bool = field(default=False, init=False)

    @classmethod
    def of_changes(cls, session: Session, *, is_full: bool) -> Self:
        """The scope of the changes since the last refresh; is_full: of everything instead."""
        changes = fetch_row(session, ChangesSinceRefresh, "days_passed") or ChangesSinceRefresh()
        scope = cls(session, is_full or changes.is_full, changes)
        if not scope.is_full:
            scope.add("scope_changed_clients")
            scope._copy_operations()
        # Another convention changes what the rows of all clients mean.
        if scope._detect_conventions() or scope.is_full:
            session.execute(query("clear_changed_clients"))
            session.execute(query("clear_changed_days"))
            scope._fill()
            return scope
        scope.add("scope_sharing_clients")
        scope.add("scope_changed_members")
        if changes.has_days:
            scope.add("scope_passed_clients", **changes.values)
        scope._copy_operations()
        scope.is_empty = not changes.has_days and not fetch_value(session, "scope_has_clients")
        session.execute("set local lcm.refresh = 'changes'")
        return scope

    @classmethod
    def of_everyone(cls, session: Session) -> Self:
        """The scope of new tables. Changes that publishes recorded stay, for the other tables."""
        scope = cls(session, is_full=True)
        scope._fill()
        return scope

    def add(self, name: str, **values: object) -> None:
        """Add the clients that a statement selects."""
        self.session.execute(query(name), values)
        analyze(self.session, "refresh.scope")

    @contextmanager
    def with_added(self, name: str, **values: object) -> Iterator[None]:
        """Within the context the scope also has the clients that a statement selects.

        The temporary table `scope_before` has the others; if the context is left by an error, the
        rollback removes it.
        """
        self.session.execute(query("copy_scope"))
        self.add(name, **values)
        yield
        self.session.execute(query("narrow_scope"))
        self.session.execute("drop table scope_before")

    def detect_spending_order(self) -> None:
        """Detect the order in which lots are spent, once there are cheques that show it.

        If it is found, the ledger of all clients is computed again, even if it was the default
        before: allocations depend on whether the order is known.
        """
        if self._decided_spending_order() is not None:
            return
        if not self.is_full and not fetch_value(self.session, "spending_order_is_due"):
            return
        self._record_findings("detect_spending_order")
        if self._decided_spending_order() is not None and not self.is_full:
            self._fill()

    def close(self) -> None:
        """Empty the scope; the formulas return no rows from then on."""
        self.session.execute(query("clear_scope"))
        self.session.execute(query("clear_copied_operations"))
        self.session.execute(query("clear_changed_movements"))
        self.session.execute(query("clear_changed_lots"))
        self.session.execute(query("clear_days"))
        self.session.execute("set local lcm.refresh = ''")

    def _fill(self) -> None:
        """Put all clients into the scope, from now on."""
        self.is_full = True
        self.session.execute("set local lcm.refresh = ''")
        self.session.execute(query("clear_copied_operations"))
        self.session.execute(query("clear_scope"))
        self.add("scope_everyone")
        self.session.execute(query("clear_shared_cheques"))
        self.session.execute(query("record_shared_cheques"))
        analyze(self.session, "refresh.shared_cheques")

    def _copy_operations(self) -> None:
        """Copy the operations of clients in scope, once for all formulas that read them.

        Where these are many, the formulas read them from core.
        """
        if not fetch_value(self.session, "scope_is_small"):
            self.session.execute(query("clear_copied_operations"))
            return
        for name, value in _LOOK_UP_IN_PARALLEL.items():
            self.session.execute(SQL("set local {} = {}").format(Identifier(name), value))
        self.session.execute(query("find_operations"))
        for name in _LOOK_UP_IN_PARALLEL:
            self.session.execute(SQL("set local {} to default").format(Identifier(name)))
        self.session.execute(query("copy_operations"))
        self.session.execute("drop table found_operations")
        analyze(self.session, "refresh.scoped_operations", ["client_id"])

    def _detect_conventions(self) -> bool:
        """Detect the open conventions, if new rows can decide one; returns whether any changed."""
        if not self.is_full and not fetch_value(self.session, "conventions_are_due"):
            return False
        before = fetch_value(self.session, "rules_in_use")
        self._record_findings("detect_conventions")
        return fetch_value(self.session, "rules_in_use") != before

    def _decided_spending_order(self) -> object:
        return fetch_value(self.session, "decided_spending_order")

    def _record_findings(self, name: str) -> None:
        self.session.execute(composed("record_findings", found=SQL(queries()[name])))
