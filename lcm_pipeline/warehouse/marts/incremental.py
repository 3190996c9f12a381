"""Marts that are stored as tables: a refresh computes only the clients and days that changed.

The clients are those whose operations a publish changed. For a mart whose values change as days
pass (points expire), clients affected by that are added. The days are those that passed since the
last refresh, and those of changed rows: for each row written to a table that the mart reads, all
dates in the columns that its formula reads, if the row differs in such a column. So a lot of which
only the remainder changed affects no day of a mart that sums up the points granted.

Sums over clients change by the clients in scope: their former contribution is read before the
tables that the sums read are written, their new contribution afterwards.

Rows are compared before they are written, and equal rows are not touched. A mart that shows names
(of stores, of bonus sources) is computed in full when a name has changed.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Self

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier

from lcm_pipeline.warehouse.marts.definitions import NAMES, OF_RUNS, Mart, marts
from lcm_pipeline.warehouse.queries import composed, fetch_value, queries, query
from lcm_pipeline.warehouse.sessions import analyze

# After so many written rows, later statements of the transaction need fresh statistics.
_MANY_ROWS = 10_000
# Marts in which clients that are not in scope change as days pass: the statements that change their
# rows. For some clients of these, such a statement does not do, so they are computed again.
_PASSED = {
    "points_movements": ("expire_lots",),
    "client_totals": ("pass_days_of_totals",),
    "expiring_lots": ("end_expiring_lots", "add_expiring_lots"),
}
_PASSED_CLIENTS = {"client_totals": "scope_passed_totals"}
# Marts whose changed rows sums over rows need.
_RECORDED = {"points_movements": "record_movements", "lots": "record_lots"}
# Marts that change as days pass, and inputs whose changes the query days_passed detects.
_OF_RUNS = OF_RUNS | {"parameters", "dated_parameters"}
# Publishes note the days on which rows of main tables change: marts by day read operations, or the
# rows of the other feeds.
_OPERATIONS = "operations"
_ROWS_OF_FEEDS = {"feed_rows", "feed_versions", "feeds"}
# What happened to each lot: it needs to know in which order they are redeemed.
_LEDGER = "points_movements"

# The rows to insert (sign above 0) and to delete (below 0); equal rows may occur several times.
# `group by` treats nulls as equal, and sorts or hashes: one client may have 100,000 rows.
_COMPARE = """
create temp table differing on commit drop as
select {columns}, sum(refresh_sign)::integer as refresh_sign,
    array_agg(refresh_place) filter (where refresh_sign < 0) as refresh_places
from (
    select {columns}, 1 as refresh_sign, null::tid as refresh_place from {fresh} {fresh_scope}
    union all
    select {kept_columns}, -1 as refresh_sign, kept.ctid as refresh_place
    from {kept} as kept {kept_scope}
) as compared
group by {columns}
having sum(refresh_sign) <> 0
"""
_DELETE = """
delete from {kept} where ctid = any(array(
    select unnest(refresh_places[1 : -refresh_sign]) from differing where refresh_sign < 0
))
"""
_INSERT = """
insert into {kept} ({columns})
select {columns} from differing cross join generate_series(1, refresh_sign)
where refresh_sign > 0
"""
# A row whose sums are all 0 is left out: its clients may have left it, or it never had any.
_SUM_UP = """
create temp table {name} on commit drop as
select * from (
    select {keys}, {sums} from ({pieces}) as pieces group by {keys}
) as summed
where {is_any}
"""
# The stored rows of the sums that change. The first key is never null, and has an index.
_OF_CHANGED = """
join changed_sums on changed_sums.{first} = kept.{first}
    and ({changed_keys}) is not distinct from ({kept_keys})
"""
# Rows of a mart that is computed in full, and that differ from the stored row of the same key.
_COMPARE_ROWS = """
create temp table differing on commit drop as
select {fresh_columns}, fresh.{key} is not null as is_fresh, kept.ctid as refresh_place
from {formula} as fresh
full join {kept} as kept on kept.{key} = fresh.{key}
where ({fresh_columns}) is distinct from ({kept_columns})
"""
_DELETE_ROWS = """
delete from {kept} where ctid = any(array(
    select refresh_place from differing where refresh_place is not null
))
"""
_TOUCHED = """
select distinct touched.day
from (
    select {columns} from differing group by {columns} having sum(refresh_sign) <> 0
) as changed
cross join unnest(array[{dates}]) as touched (day)
where touched.day is not null
"""


@dataclass(frozen=True)
class Elapsed:
    """What changed since the last refresh besides rows: days, parameters and names.

    The days are those after `after_day`, through `last_day`; they have ended through `through_day`.
    is_everyone: all clients have to be computed again. renamed: the tables of core in which a
    name changed. has_month_ended: a month was completed, in which all clients count from now on.
    """

    is_everyone: bool
    has_moved: bool
    after_day: date | None
    last_day: date | None
    through_day: date | None
    renamed: list[str]
    has_month_ended: bool

    @property
    def days(self) -> set[date]:
        """The days that passed."""
        if not self.has_moved or self.after_day is None or self.last_day is None:
            return set()
        count = (self.last_day - self.after_day).days
        return {self.after_day + timedelta(days=ahead) for ahead in range(1, count + 1)}


@dataclass
class IncrementalRefresher:
    """Refreshes tables within one transaction; the caller passes each after those that it reads.

    is_everyone: compute the tables for all clients and days. passed: None if no days can have
    passed.
    """

    session: psycopg.Connection
    is_everyone: bool
    passed: Elapsed | None = None
    # No client changed and no day passed: marts by client, and sums over clients, stay as they are.
    _is_idle: bool = field(default=False, init=False)
    _subtracted: set[str] = field(default_factory=set, init=False)
    _touched: defaultdict[str, set[date]] = field(init=False)
    _readers: defaultdict[str, list[Mart]] = field(init=False)
    _followed: set[str] = field(init=False)

    def __post_init__(self) -> None:
        passed_days = self.passed.days if self.passed else set()
        self._touched = defaultdict(lambda: set(passed_days))
        self._readers = defaultdict(list)
        self._followed = {mart.name for mart in marts() if mart.follows_changes} | _OF_RUNS
        for mart in marts():
            if mart.refreshed_by in ("day", "month"):
                for name in mart.reads:
                    self._readers[name].append(mart)

    @classmethod
    def of_changes(cls, session: psycopg.Connection, *, is_everyone: bool) -> Self:
        """For the changes since the last refresh; is_everyone: for all clients and days instead."""
        with session.cursor(row_factory=class_row(Elapsed)) as cursor:
            passed = cursor.execute(query("days_passed")).fetchone()
        refresher = cls(session, is_everyone or passed is None or passed.is_everyone, passed)
        if not refresher.is_everyone:
            refresher._scope("scope_changed_clients")
            refresher._copy_operations()
        # Another convention changes what the rows of all clients mean.
        if refresher._detect_conventions() or refresher.is_everyone:
            refresher.is_everyone = True
            session.execute(query("clear_changed_clients"))
            session.execute(query("clear_changed_days"))
            refresher._scope_everyone()
            return refresher
        refresher._scope("scope_sharing_clients")
        refresher._scope("scope_changed_members")
        refresher._widen()
        refresher._copy_operations()
        has_clients = fetch_value(session, "scope_has_clients")
        has_moved = passed is not None and passed.has_moved
        refresher._is_idle = not has_clients and not has_moved
        session.execute("set local lcm.refresh = 'changes'")
        noted = session.execute(query("changed_days")).fetchall()
        for mart in marts():
            if mart.refreshed_by == "day" and _OPERATIONS in mart.tables:
                refresher._touched[mart.name] |= {day for name, day in noted if name == _OPERATIONS}
            elif mart.refreshed_by == "day" and not _ROWS_OF_FEEDS.isdisjoint(mart.tables):
                refresher._touched[mart.name] |= {day for name, day in noted if name != _OPERATIONS}
        return refresher

    @classmethod
    def of_everyone(cls, session: psycopg.Connection) -> Self:
        """For new tables. The changes that publishes recorded stay, for the other tables."""
        refresher = cls(session, is_everyone=True)
        refresher._scope_everyone()
        return refresher

    def replace(self, mart: Mart) -> int:
        """Compute the part of a table that changed; returns the number of rows written."""
        if mart.refreshed_by == "rows":
            return replace_rows(self.session, mart)
        if self._is_idle and mart.refreshed_by in ("client", "sums"):
            return 0
        self._subtract_before(mart)
        if mart.name == _LEDGER:
            self._detect_spending_order()
        if mart.refreshed_by == "client":
            rows = self._replace_everyone(mart) if self.is_everyone else self._replace_clients(mart)
        elif mart.refreshed_by == "sums":
            rows = self._replace_sums(mart)
        else:
            rows = self._replace_days(mart)
        if rows > _MANY_ROWS:
            _analyze(self.session, mart)
        return rows

    def close(self) -> None:
        """Empty the scopes; their formulas return no rows from then on."""
        self.session.execute(query("clear_scope"))
        self.session.execute(query("clear_copied_operations"))
        self.session.execute(query("clear_changed_movements"))
        self.session.execute(query("clear_changed_lots"))
        self.session.execute(query("clear_days"))
        self.session.execute("set local lcm.refresh = ''")

    def _scope_everyone(self) -> None:
        self.session.execute("set local lcm.refresh = ''")
        self.session.execute(query("clear_copied_operations"))
        self.session.execute(query("clear_scope"))
        self._scope("scope_everyone")
        self.session.execute(query("clear_shared_cheques"))
        self.session.execute(query("record_shared_cheques"))
        analyze(self.session, "refresh.shared_cheques")

    def _detect_spending_order(self) -> None:
        """Detect the order in which lots are spent, once there are cheques that show it.

        If it is found, the ledger of all clients is computed again, even if it was the default
        before: allocations depend on whether the order is known.
        """
        before = self.session.execute(query("decided_spending_order")).fetchone()
        if before is not None:
            return
        if not self.is_everyone and not fetch_value(self.session, "spending_order_is_due"):
            return
        self._record_findings("detect_spending_order")
        found = self.session.execute(query("decided_spending_order")).fetchone()
        if found is not None and not self.is_everyone:
            self.is_everyone = True
            self._scope_everyone()

    def _detect_conventions(self) -> bool:
        """Detect the open conventions, if new rows can decide one; returns whether any changed."""
        if not self.is_everyone and not fetch_value(self.session, "conventions_are_due"):
            return False
        before = self.session.execute(query("rules_in_use")).fetchone()
        self._record_findings("detect_conventions")
        return self.session.execute(query("rules_in_use")).fetchone() != before

    def _record_findings(self, name: str) -> None:
        self.session.execute(composed("record_findings", found=SQL(queries()[name])))

    def _copy_operations(self) -> None:
        """Copy the operations of clients in scope, once for all formulas that read them.

        Where these are many, the formulas read them from core.
        """
        if not fetch_value(self.session, "scope_is_small"):
            self.session.execute(query("clear_copied_operations"))
            return
        # Looked up client by client: from what the planner expects of a month, it would rather read
        # all months.
        self.session.execute("set local enable_hashjoin = off")
        self.session.execute("set local enable_mergejoin = off")
        self.session.execute(query("copy_operations"))
        self.session.execute("set local enable_hashjoin = on")
        self.session.execute("set local enable_mergejoin = on")
        analyze(self.session, "refresh.scoped_operations", ["client_id"])

    def _scope(self, name: str, **values: object) -> None:
        self.session.execute(query(name), values)
        analyze(self.session, "refresh.scope")

    def _replace_everyone(self, mart: Mart) -> int:
        self.session.execute(SQL("delete from {}").format(_kept(mart)))
        # The order puts a client's rows on few pages of the table and of its index.
        return self.session.execute(
            SQL("insert into {} select * from {} order by client_id").format(
                _kept(mart), _formula(mart)
            )
        ).rowcount

    def _replace_clients(self, mart: Mart) -> int:
        is_moved = self.passed is not None and self.passed.has_moved
        further = _PASSED_CLIENTS.get(mart.name) if is_moved else None
        if further is not None:
            self.session.execute(query("copy_scope"))
            self._scope(further, **self._passed_days())
        rows = self._write_differing(
            mart,
            _formula(mart),
            SQL(""),
            SQL("join refresh.scope on scope.client_id = kept.client_id"),
        )
        if is_moved:
            for name in _PASSED.get(mart.name, ()):
                rows += self.session.execute(query(name), self._passed_days()).rowcount
        if further is not None:
            self.session.execute(query("narrow_scope"))
            self.session.execute("drop table scope_before")
        return rows

    def _widen(self) -> None:
        """Add the clients who have to be computed again because days passed."""
        if self.passed is not None and self.passed.has_moved:
            self._scope("scope_passed_clients", **self._passed_days())

    def _subtract_before(self, mart: Mart) -> None:
        """Store what the clients in scope contribute to sums over a table, before it is written."""
        for sums in marts():
            is_due = sums.refreshed_by == "sums" and mart.name in sums.reads and not sums.sums_rows
            if not is_due or sums.name in self._subtracted or self._is_whole_sum(sums):
                continue
            self.session.execute(
                SQL("create temp table {} on commit drop as select * from {}").format(
                    Identifier(f"before_{sums.name}"), _formula(sums)
                )
            )
            self._subtracted.add(sums.name)

    def _is_whole_sum(self, mart: Mart) -> bool:
        has_month_ended = self.passed is not None and self.passed.has_month_ended
        return self.is_everyone or (has_month_ended and "as_of" in mart.reads)

    def _replace_sums(self, mart: Mart) -> int:
        names = [name for name, _ in _columns(self.session, mart)]
        fresh = SQL("select {} from {}").format(
            SQL(", ").join(map(Identifier, names)), _formula(mart)
        )
        if self._is_whole_sum(mart):
            return self._replace_whole_sums(mart, fresh)
        return self._replace_changed_sums(mart, names, fresh)

    def _replace_whole_sums(self, mart: Mart, fresh: Composed) -> int:
        """Write the sums over all clients that differ from the stored ones."""
        if not self.is_everyone:
            self.session.execute(query("copy_scope"))
            self.session.execute(query("clear_scope"))
            self._scope("scope_everyone")
        self._sum_up(mart, "sums", fresh)
        if not self.is_everyone:
            self.session.execute(query("clear_scope"))
            self.session.execute(query("restore_scope"))
            self.session.execute("drop table scope_before")
        rows = self._write_differing(mart, Identifier("sums"), SQL(""), SQL(""))
        self.session.execute("drop table sums")
        return rows

    def _replace_changed_sums(self, mart: Mart, names: Sequence[str], fresh: Composed) -> int:
        """Write the stored sums, less what the clients in scope contributed, plus what they do now.

        names: the columns of the mart. fresh: what these clients contribute now.
        """
        negated = SQL(", ").join(
            SQL("{}" if name in mart.keys else "-{0} as {0}").format(Identifier(name))
            for name in names
        )
        before = Identifier(f"before_{mart.name}")
        changes = (
            fresh
            if mart.sums_rows
            else SQL("{} union all select {} from {}").format(fresh, negated, before)
        )
        self._sum_up(mart, "changed_sums", changes)
        self.session.execute("analyze changed_sums")
        of_changed = SQL(_OF_CHANGED).format(
            first=Identifier(mart.keys[0]),
            changed_keys=_names("changed_sums", mart.keys),
            kept_keys=_names("kept", mart.keys),
        )
        summed = [name for name in names if name not in mart.keys]
        stored = SQL("select {} from {} as kept {}").format(
            _names("kept", [*mart.keys, *summed]), _kept(mart), of_changed
        )
        self._sum_up(mart, "sums", SQL("select * from changed_sums union all {}").format(stored))
        rows = self._write_differing(mart, Identifier("sums"), SQL(""), of_changed)
        self.session.execute("drop table sums, changed_sums")
        return rows

    def _sum_up(self, mart: Mart, name: str, pieces: Composed) -> None:
        """Make a temporary table of the sums by the keys; those of nothing but 0 are left out."""
        found = _columns(self.session, mart)
        summed = [(column, kind) for column, kind in found if column not in mart.keys]
        self.session.execute(
            SQL(_SUM_UP).format(
                name=Identifier(name),
                keys=SQL(", ").join(map(Identifier, mart.keys)),
                sums=SQL(", ").join(
                    SQL("sum({0})::{1} as {0}").format(Identifier(column), SQL(kind))
                    for column, kind in summed
                ),
                pieces=pieces,
                is_any=SQL(" or ").join(SQL("{} <> 0").format(Identifier(n)) for n, _ in summed),
            )
        )

    def _passed_days(self) -> dict[str, object]:
        assert self.passed is not None  # noqa: S101 - called only if days have passed
        return {
            "after_day": self.passed.after_day,
            "last_day": self.passed.last_day,
            "through_day": self.passed.through_day,
        }

    def _replace_days(self, mart: Mart) -> int:
        """Write the rows of the affected days, or of their months, that differ."""
        days = None if self._is_whole(mart) else self._touched[mart.name]
        if days is not None and not days:
            return 0
        if days is not None and mart.is_running:
            days = self._days_since(min(days))
        self._fill_days(days)
        if days is None:
            return self._write_differing(mart, _formula(mart), SQL(""), SQL(""))
        # Formulas that read refresh.days return only these days; for others this condition does it.
        if mart.refreshed_by == "month":
            days = {day.replace(day=1) for day in days}
        scope = SQL("where {} = any({})").format(Identifier(mart.refreshed_by or ""), sorted(days))
        return self._write_differing(mart, _formula(mart), scope, scope)

    def _days_since(self, first: date) -> set[date]:
        """A day and all later ones, through the last day of this refresh."""
        last = self.passed.last_day if self.passed else None
        count = (last - first).days + 1 if last is not None else 0
        return {first + timedelta(days=ahead) for ahead in range(max(count, 1))}

    def _is_whole(self, mart: Mart) -> bool:
        """Whether something may have changed whose days cannot be derived from rows."""
        renamed = set(self.passed.renamed) if self.passed else set()
        tables = {*NAMES, _OPERATIONS, *_ROWS_OF_FEEDS}
        is_followed = set(mart.reads) <= self._followed and set(mart.tables) <= tables
        return self.is_everyone or not is_followed or not renamed.isdisjoint(mart.tables)

    def _fill_days(self, days: Iterable[date] | None) -> None:
        """Fill refresh.days, for formulas that read it; None: every day with an operation."""
        self.session.execute(query("clear_days"))
        if days is None:
            self.session.execute(query("scope_every_day"))
        else:
            self.session.execute(query("scope_days"), {"days": sorted(days)})
        analyze(self.session, "refresh.days")

    def _write_differing(
        self,
        mart: Mart,
        fresh: Identifier,
        fresh_scope: Composed | SQL,
        kept_scope: Composed | SQL,
    ) -> int:
        """Delete and insert the rows that differ from `fresh`; returns the number inserted."""
        names = [Identifier(name) for name, _ in _columns(self.session, mart)]
        columns = SQL(", ").join(names)
        self.session.execute(
            SQL(_COMPARE).format(
                columns=columns,
                # Qualified, since the joined scope has a client_id too.
                kept_columns=SQL(", ").join(SQL("kept.{}").format(name) for name in names),
                kept=_kept(mart),
                fresh=fresh,
                fresh_scope=fresh_scope,
                kept_scope=kept_scope,
            )
        )
        self.session.execute(SQL(_DELETE).format(kept=_kept(mart)))
        rows = self.session.execute(SQL(_INSERT).format(kept=_kept(mart), columns=columns)).rowcount
        if not self.is_everyone:
            for reader in self._readers[mart.name]:
                self._touch(reader, mart)
            if mart.name in _RECORDED:
                self.session.execute(query(_RECORDED[mart.name]))
        self.session.execute("drop table differing")
        return rows

    def _touch(self, reader: Mart, mart: Mart) -> None:
        """Mark days of a reader for computing: those of rows that differ in columns it reads."""
        read = self.session.execute(
            query("columns_read"),
            {"reader": f"refresh.{reader.name}", "mart": f"mart.{mart.name}"},
        ).fetchall()
        columns = [Identifier(str(name)) for name, _ in read]
        dates = [
            Identifier(str(name))
            for name, is_date in read
            if is_date and (name == "day" or not reader.is_running)
        ]
        if not dates:
            raise ValueError(f"{reader.name} is incremental, but reads no date of {mart.name}")
        days = self.session.execute(
            SQL(_TOUCHED).format(columns=SQL(", ").join(columns), dates=SQL(", ").join(dates))
        ).fetchall()
        self._touched[reader.name] |= {day for (day,) in days}


def replace_rows(session: psycopg.Connection, mart: Mart) -> int:
    """Compute a mart in full and write the rows that differ; returns the number inserted."""
    names = [Identifier(name) for name, _ in _columns(session, mart)]
    [key] = map(Identifier, mart.keys)
    session.execute(
        SQL(_COMPARE_ROWS).format(
            fresh_columns=SQL(", ").join(SQL("fresh.{}").format(name) for name in names),
            kept_columns=SQL(", ").join(SQL("kept.{}").format(name) for name in names),
            key=key,
            formula=_formula(mart),
            kept=_kept(mart),
        )
    )
    session.execute(SQL(_DELETE_ROWS).format(kept=_kept(mart)))
    columns = SQL(", ").join(names)
    rows = session.execute(
        SQL("insert into {} ({columns}) select {columns} from differing where is_fresh").format(
            _kept(mart), columns=columns
        )
    ).rowcount
    session.execute("drop table differing")
    if rows > _MANY_ROWS:
        _analyze(session, mart)
    return rows


def _analyze(session: psycopg.Connection, mart: Mart) -> None:
    """Analyze the columns by which later formulas join and filter; autovacuum does all of them."""
    name = f"mart.{mart.name}"
    columns = [
        str(column) for (column,) in session.execute(query("indexed_columns"), {"mart": name})
    ]
    analyze(session, name, columns)


def _columns(session: psycopg.Connection, mart: Mart) -> list[tuple[str, str]]:
    """The columns of a table and their types."""
    found = session.execute(query("columns_of_mart"), {"mart": f"mart.{mart.name}"}).fetchall()
    return [(str(name), str(kind)) for name, kind in found]


def _kept(mart: Mart) -> Identifier:
    return Identifier("mart", mart.name)


def _formula(mart: Mart) -> Identifier:
    return Identifier("refresh", mart.name)


def _names(relation: str, names: Iterable[str]) -> Composed:
    return SQL(", ").join(Identifier(relation, name) for name in names)
