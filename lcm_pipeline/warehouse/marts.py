"""Installs the marts: the views of sql/marts, one file each, in the order in which they read.

A file that is installed and has not changed since is left alone, so nothing is made anew under a
reader. The surprising fact: a view whose columns changed cannot be replaced, so then all of them
are dropped and made again in one transaction, and whoever could read them can read them after.
"""

import re
from dataclasses import dataclass
from graphlib import TopologicalSorter
from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.statements import sql_folder

_READS = re.compile(r"\b(?:from|join)\s+mart\.(\w+)|from mart\.(\w+),", re.IGNORECASE)
_TABLES = re.compile(r"\b(?:from|join)\s+(?:core|history)\.(\w+)", re.IGNORECASE)
_HEADER = re.compile(r"-- (question|grain|formula): ((?:.|\n--  )+)")

_INSTALLED = "select name, checksum from public.lcm_marts"

_REMEMBER = """
insert into public.lcm_marts (name, checksum) values (%s, %s)
on conflict (name) do update set checksum = excluded.checksum, installed_at = now()
"""

_GRANTS = """
select c.relname, pg_get_userbyid(nullif(granted.grantee, 0)), granted.privilege_type
from pg_class c
cross join aclexplode(c.relacl) as granted
where c.relnamespace = 'mart'::regnamespace and c.relkind = 'v' and granted.grantee <> c.relowner
"""

_OTHERS = """
select c.oid::regclass::text from pg_class c
where c.relkind in ('v', 'm')
  and not (c.relnamespace = 'mart'::regnamespace and c.relname = any(%s))
"""


class MartInUse(Exception):  # noqa: N818 - the name that the message completes
    """A mart cannot be made anew, as something of others is built on it; nothing was changed."""


@dataclass(frozen=True)
class Mart:
    """One file of sql/marts. reads: the marts, and tables: those of core, that it is built on."""

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


def marts() -> list[Mart]:
    """Every mart, each after those that it reads."""
    found = {path.stem: _read(path) for path in sorted((sql_folder() / "marts").glob("*.sql"))}
    known = {name: set(mart.reads) & found.keys() for name, mart in found.items()}
    return [found[name] for name in TopologicalSorter(known).static_order()]


def are_behind(session: psycopg.Connection) -> bool:
    """Whether a mart is missing, has changed, or is there no longer."""
    return _installed(session) != {mart.name: mart.checksum for mart in marts()}


def install_marts(session: psycopg.Connection) -> list[str]:
    """Bring the marts up to date in one transaction; answers the names of those made or replaced.

    Raises MartInUse or psycopg.Error; then nothing has changed.
    """
    with session.transaction():
        installed = _installed(session)
        wanted = marts()
        changed = [mart for mart in wanted if installed.get(mart.name) != mart.checksum]
        surplus = installed.keys() - {mart.name for mart in wanted}
        if surplus or not _replace(session, changed):
            _make_anew(session, wanted, installed)
        for mart in wanted:
            session.execute(_REMEMBER, (mart.name, mart.checksum))
        session.execute("delete from public.lcm_marts where name = any(%s)", (list(surplus),))
    return [mart.name for mart in changed]


def keep_time_zone(warehouse: Warehouse, timezone: str) -> None:
    """Let the marts cut days where the sync cuts them."""
    with warehouse.connect(autocommit=True, application_name="lcm marts") as session:
        session.execute(
            "update mart.parameters set timezone = %(zone)s where timezone <> %(zone)s",
            {"zone": timezone},
        )


def _installed(session: psycopg.Connection) -> dict[str, str]:
    rows = session.execute(_INSTALLED).fetchall()
    return {str(name): str(checksum) for name, checksum in rows}


def _replace(session: psycopg.Connection, changed: list[Mart]) -> bool:
    """Replace in place; False, and nothing done, when a view has other columns than before."""
    try:
        with session.transaction():
            for mart in changed:
                session.execute(mart.text.encode())
    except (psycopg.errors.InvalidTableDefinition, psycopg.errors.InvalidFunctionDefinition):
        return False
    return True


def _make_anew(session: psycopg.Connection, wanted: list[Mart], installed: dict[str, str]) -> None:
    """Drop the marts that were installed, and make all; nothing of anyone else goes with them."""
    grants = session.execute(_GRANTS).fetchall()
    others = _others(session, installed)
    for name in installed:
        session.execute(SQL("drop view if exists {} cascade").format(Identifier("mart", name)))
    if lost := others - _others(session, installed):
        raise MartInUse(
            f"{min(lost)} is no mart of ours and reads one whose columns change: drop it, run this"
            " again, and make it anew"
        )
    for mart in wanted:
        session.execute(mart.text.encode())
    present = {mart.name for mart in wanted}
    for name, role, privilege in grants:
        if name in present:
            session.execute(
                SQL("grant {} on {} to {}").format(
                    SQL(privilege),
                    Identifier("mart", name),
                    SQL("public") if role is None else Identifier(role),
                )
            )


def _others(session: psycopg.Connection, installed: dict[str, str]) -> set[str]:
    return {name for (name,) in session.execute(_OTHERS, (list(installed),)).fetchall()}


def _read(path: Path) -> Mart:
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
