"""The marts as their files say: sql/marts, one file each, with question, grain and formula.

Most are materialized views, computed anew by a refresh. A file that makes a table keeps it by
client, day or month: its formula is a view in the schema `refresh`, of the clients in
`refresh.scope`, the days in `refresh.days` or their months in `refresh.months` alone.
What a refresh starts from (the readings, the last day known) are plain views, always of now.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from hashlib import sha256
from pathlib import Path
from typing import Literal

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import query, sql_folder

Kind = Literal["view", "materialized view", "table"]
Incremental = Literal["client", "day", "month"]

_READS = re.compile(r"\b(?:from|join)\s+mart\.(\w+)|from mart\.(\w+),", re.IGNORECASE)
_TABLES = re.compile(r"\b(?:from|join)\s+(?:core|history|sync)\.(\w+)", re.IGNORECASE)
_HEADER = re.compile(r"-- (question|grain|formula): ((?:.|\n--  )+)")
_MAKES = re.compile(r"^create (?:or replace )?(view|materialized view|table) mart\.(\w+)", re.M)


@dataclass(frozen=True)
class Mart:
    """One file of sql/marts.

    It is built on the marts that it reads, and on tables and views of core, history and sync.
    """

    name: str
    text: str
    question: str
    grain: str
    formula: str
    reads: tuple[str, ...]
    tables: tuple[str, ...]

    @property
    def checksum(self) -> str:
        """Changes when the file does."""
        return sha256(self.text.encode()).hexdigest()

    @cached_property
    def kind(self) -> Kind:
        """What it is in the database; a table is kept by something."""
        kinds: dict[str, Kind] = {name: kind for kind, name in _MAKES.findall(self.text)}
        return kinds[self.name]

    @property
    def refreshed_by(self) -> Incremental | None:
        """What a refresh computes a table for; None for what is no table."""
        if self.kind != "table":
            return None
        if "refresh.days" in self.text:
            return "day"
        return "month" if "refresh.months" in self.text else "client"


def marts() -> list[Mart]:
    """Every mart, each after those that it reads."""
    paths = sorted((sql_folder() / "marts").glob("*.sql"))
    found = {path.stem: _read(path, path.stat().st_mtime_ns) for path in paths}
    known = {name: set(mart.reads) & found.keys() for name, mart in found.items()}
    return [found[name] for name in TopologicalSorter(known).static_order()]


def store_time_zone(warehouse: Warehouse, timezone: str) -> None:
    """Let the marts cut days where the sync cuts them."""
    with warehouse.connect(autocommit=True, application_name="lcm marts") as session:
        session.execute(query("store_time_zone"), {"zone": timezone})


@lru_cache(maxsize=256)
def _read(path: Path, _changed_at: int) -> Mart:
    """The file as it is since then; each step of a run asks for all of them."""
    text = path.read_text()
    header = {name: re.sub(r"\n--\s+", " ", said).strip() for name, said in _HEADER.findall(text)}
    reads = {name for pair in _READS.findall(text) for name in pair if name} - {path.stem}
    return Mart(
        path.stem,
        text,
        header["question"],
        header["grain"],
        header["formula"],
        tuple(sorted(reads)),
        tuple(sorted(set(_TABLES.findall(text)))),
    )
