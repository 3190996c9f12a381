"""The definitions of the marts: sql/marts, one file each, with question, grain and formula.

Most marts are materialized views, which a refresh recomputes. A line in its head makes a mart
incremental: its formula becomes a view in the schema `refresh`, and the mart a table, of which a
refresh computes only a part.

    -- incremental: day

(or month) A refresh computes only the affected days, see `incremental.py`. The mart has a column
`day` (or `month`) that its formula groups by, so that Postgres applies the condition on days to
what the formula reads. A row of what it reads must count only on days that are dates of that row.

    -- incremental: day and later

The affected days are a changed day and all that follow, as in a running balance.

    -- incremental: sums by KEY, KEY

All other columns are sums over clients, and the formula reads only the clients in `refresh.scope`:
a refresh subtracts what the changed clients contributed before, and adds what they contribute now.

    -- incremental: sums of rows by KEY, KEY

They are sums over single rows of the ledger or of lots. While the setting `lcm.refresh` is
`changes`, the formula reads only the rows that the refresh changed, with a sign.

    -- incremental: rows by KEY

The formula is computed in full, and only the rows that differ from the stored row of the same key
are written: for ranks over all clients, and for marts that no change of operations drives.

A file may also create its table itself, from a formula in `refresh` that reads only the clients in
`refresh.scope`, the days in `refresh.days` or their months in `refresh.months`. The functions of a
long formula can be in files of a folder with the name of the mart, which run before it in the order
of their names. The inputs of a refresh (the readings, the last day known) are plain views, so they
are always current.

Other lines of the head say what else a refresh has to do for the mart. Their statements are those
of sql/queries; the statements for days have the parameters of `ChangesSinceRefresh.values`.

    -- refreshed: always

It shows pending tasks, the quarantine or the time of the last reading, which a run changes without
writing a row. So a refresh never skips it as up to date.

    -- as days pass: STATEMENT, STATEMENT

Days that pass change rows of clients that are not in scope; these statements change them.

    -- as days pass, add clients: STATEMENT

Clients for whom those statements do not suffice; they are computed again.

    -- record changes: STATEMENT

It records which rows were written or removed, for the sums of rows.

    -- needs: spending order

It is computed after the order in which lots are redeemed was detected.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import TopologicalSorter
from hashlib import sha256
from pathlib import Path
from typing import Literal

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.warehouse.queries import sql_folder

# Inputs that show which days are known.
RUN_VIEWS = {"as_of", "readings", "readings_by_day"}
NAME_TABLES = {name for feed in FEEDS for name in feed.name_tables}
_FEEDS_OF = {
    table.name: {feed.name for feed in FEEDS if table in feed.tables}
    for each in FEEDS
    for table in each.tables
}

Kind = Literal["view", "materialized view", "table"]
Incremental = Literal["client", "day", "month", "sums", "rows"]

_READS = re.compile(r"\b(?:from|join)\s+mart\.(\w+)|from mart\.(\w+),", re.IGNORECASE)
_TABLES = re.compile(r"\b(?:from|join)\s+(?:core|history|sync)\.(\w+)", re.IGNORECASE)
_HEAD = re.compile(r"(?:--.*\n)+")
_HEADER = re.compile(r"^-- ([a-z][a-z, ]*): ((?:.|\n--  )+)", re.MULTILINE)
# The lines of a head, and what may be in each.
_HEADERS = {
    "question": r".+",
    "grain": r".+",
    "formula": r".+",
    "incremental": r"day|day and later|month|(?:sums|sums of rows|rows) by (?P<keys>[\w, ]+)",
    "refreshed": r"always",
    "as days pass": r"\w+(?:, \w+)*",
    "as days pass, add clients": r"\w+",
    "record changes": r"\w+",
    "needs": r"spending order",
}
_MAKES = re.compile(r"^create (?:or replace )?(view|materialized view|table) mart\.(\w+)", re.M)


@dataclass(frozen=True)
class Mart:
    """One file of sql/marts.

    head: the lines of its head, by their first words. reads: the other marts that it reads.
    tables: tables and views of core, history and sync.
    """

    name: str
    text: str
    head: Mapping[str, str]
    reads: tuple[str, ...]
    tables: tuple[str, ...]

    @property
    def question(self) -> str:
        return self.head["question"]

    @property
    def grain(self) -> str:
        return self.head["grain"]

    @property
    def formula(self) -> str:
        return self.head["formula"]

    @property
    def checksum(self) -> str:
        """SHA-256 of the file; a mart is installed again when it changes."""
        return sha256(self.text.encode()).hexdigest()

    @cached_property
    def statements(self) -> str:
        """The SQL that creates it: the file, expanded if it has a line `-- incremental`."""
        if self._declared is None:
            return self.text
        head, made, rest = self.text.partition(f"create materialized view mart.{self.name} as\n")
        formula, end, rest = rest.partition(";\n")
        if not made or not end:
            raise ValueError(f"{self.name}.sql is incremental, but makes no materialized view")
        table = f"create table mart.{self.name} as table refresh.{self.name} with no data;\n"
        rest = rest.replace("comment on materialized view", "comment on table")
        return f"{head}create view refresh.{self.name} as\n{formula}{end}{table}{rest}"

    @cached_property
    def _declared(self) -> re.Match[str] | None:
        """The line `-- incremental` of its head."""
        return re.fullmatch(_HEADERS["incremental"], self.head.get("incremental", ""))

    @cached_property
    def kind(self) -> Kind:
        """Its kind of relation in the database; tables are the incremental marts."""
        if self._declared:
            return "table"
        kinds: dict[str, Kind] = {name: kind for kind, name in _MAKES.findall(self.text)}
        return kinds[self.name]

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that identify a sum or a row; empty for other marts."""
        named = self._declared["keys"] if self._declared else None
        return tuple(named.split(", ")) if named else ()

    @property
    def sums_rows(self) -> bool:
        """Whether the sums change by single rows of what they read."""
        return self._declared is not None and self._declared[0].startswith("sums of rows")

    @property
    def is_running(self) -> bool:
        """Whether what happens on a day counts on all later days too."""
        return self._declared is not None and self._declared[0] == "day and later"

    @property
    def is_never_skipped(self) -> bool:
        """Whether a refresh computes it although no row below it changed."""
        return "refreshed" in self.head

    @property
    def as_days_pass(self) -> tuple[str, ...]:
        """The statements that change rows of clients that are not in scope."""
        return tuple(self.head["as days pass"].split(", ")) if "as days pass" in self.head else ()

    @property
    def needs_spending_order(self) -> bool:
        """Whether its rows depend on the order in which lots are redeemed."""
        return "needs" in self.head

    @property
    def follows_changes(self) -> bool:
        """Whether a refresh computes only the clients and days that changed.

        These marts are refreshed together, because what changed is recorded only once.
        """
        return self.kind == "table" and self.refreshed_by != "rows"

    @property
    def refreshed_by(self) -> Incremental | None:
        """The unit by which a refresh computes a table; None for views."""
        if self.kind != "table":
            return None
        if self._declared:
            if self.keys:
                return "sums" if self._declared[0].startswith("sums") else "rows"
            return "month" if self._declared[0] == "month" else "day"
        if "refresh.days" in self.text:
            return "day"
        return "month" if "refresh.months" in self.text else "client"


@cache
def marts() -> tuple[Mart, ...]:
    """All marts, each after those that it reads."""
    found = {path.stem: _read(path) for path in sorted((sql_folder() / "marts").glob("*.sql"))}
    known = {name: set(mart.reads) & found.keys() for name, mart in found.items()}
    return tuple(found[name] for name in TopologicalSorter(known).static_order())


def sources_below() -> dict[str, frozenset[str]]:
    """By mart, the feeds and the tables of names that it is made of, through other marts too.

    Inputs that are plain views over runs and days (`as_of`, `readings`) are left out: what they
    show of a feed is part of the state of that feed.
    """
    below: dict[str, frozenset[str]] = {}
    for mart in marts():
        feeds = {name for table in mart.tables for name in _FEEDS_OF.get(table, ())}
        if any(table not in _FEEDS_OF and table not in NAME_TABLES for table in mart.tables):
            feeds = {feed.name for feed in FEEDS}
        read = (below[name] for name in mart.reads if name in below and name not in RUN_VIEWS)
        below[mart.name] = frozenset(feeds | NAME_TABLES.intersection(mart.tables)).union(*read)
    return below


def marts_read(statement: str) -> set[str]:
    """The names after `from mart.` and `join mart.` in a statement."""
    return {name for pair in _READS.findall(statement) for name in pair if name}


def _read(path: Path) -> Mart:
    """Parse a mart's file and those of the folder of its name, which come first."""
    parts = sorted(path.with_suffix("").glob("*.sql"))
    text = "".join(part.read_text("utf-8") for part in [*parts, path])
    first_lines = _HEAD.match(path.read_text("utf-8"))
    declared = _HEADER.findall(first_lines[0] if first_lines else "")
    head = {name: re.sub(r"\n--\s+", " ", value).strip() for name, value in declared}
    for name, value in head.items():
        if not re.fullmatch(_HEADERS.get(name, ""), value):
            raise ValueError(
                f"unknown or malformed line in the head of {path.name}: {name}: {value}"
            )
    return Mart(
        path.stem,
        text,
        head,
        tuple(sorted(marts_read(text) - {path.stem})),
        tuple(sorted(set(_TABLES.findall(text)))),
    )
