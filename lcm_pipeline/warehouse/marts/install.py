"""Installs the marts: what the files of sql/marts make, in the order in which they read.

A file that is installed and has not changed since is left alone. A mart that
is stored cannot be replaced, so it and those that read it are dropped, made again and filled in
one transaction; readers of these wait meanwhile, and whoever could read them can read them after.
Views of others that read them are made again from their definitions.
"""

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.marts.definitions import Mart, marts
from lcm_pipeline.warehouse.marts.incremental import IncrementalRefresher
from lcm_pipeline.warehouse.marts.refresh import forget_refreshes
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.sessions import grant_memory


class MartInUseError(Exception):
    """A mart cannot be made anew, as something of others is built on it; nothing was changed."""


def are_behind(session: psycopg.Connection) -> bool:
    """Whether a mart is missing, has changed, or is there no longer."""
    return _installed(session) != {mart.name: mart.checksum for mart in marts()}


def install_marts(session: psycopg.Connection) -> list[str]:
    """Bring the marts up to date in one transaction; returns the names of those that changed.

    Raises MartInUseError or psycopg.Error; then nothing has changed.
    """
    with session.transaction():
        installed = _installed(session)
        wanted = marts()
        changed = [mart for mart in wanted if installed.get(mart.name) != mart.checksum]
        surplus = installed.keys() - {mart.name for mart in wanted}
        if surplus or not _replace(session, changed):
            _make_anew(session, _with_readers(wanted, changed), surplus)
        for mart in wanted:
            session.execute(query("record_mart"), {"name": mart.name, "checksum": mart.checksum})
        session.execute(query("forget_marts"), {"names": list(surplus)})
    return [mart.name for mart in changed]


def _installed(session: psycopg.Connection) -> dict[str, str]:
    rows = session.execute(query("installed_marts")).fetchall()
    return {str(name): str(checksum) for name, checksum in rows}


def _replace(session: psycopg.Connection, changed: list[Mart]) -> bool:
    """Replace views in place; False, and nothing done, when they are stored or have new columns."""
    if any(mart.kind != "view" for mart in changed):
        return False
    try:
        with session.transaction():
            for mart in changed:
                session.execute(mart.statements.encode())
    except (psycopg.errors.InvalidTableDefinition, psycopg.errors.WrongObjectType):
        return False
    return True


def _with_readers(wanted: list[Mart], changed: list[Mart]) -> list[Mart]:
    """The changed marts and all that read them, in order."""
    affected = {mart.name for mart in changed}
    for mart in wanted:
        if affected.intersection(mart.reads):
            affected.add(mart.name)
    return [mart for mart in wanted if mart.name in affected]


def _make_anew(session: psycopg.Connection, anew: list[Mart], surplus: set[str]) -> None:
    """Drop some marts and make them again, and the views of others that read them."""
    grants = session.execute(query("mart_grants")).fetchall()
    lost = _drop(session, [*surplus, *(mart.name for mart in anew)])
    grant_memory(session)
    has_tables = any(mart.kind == "table" for mart in anew)
    keeper = IncrementalRefresher.of_everyone(session) if has_tables else None
    owner_is_loader = session.execute(query("may_give_to_loader")).fetchone() == (True,)
    for mart in anew:
        session.execute(mart.statements.encode())
        if keeper is not None and mart.kind == "table":
            keeper.replace(mart)
        if mart.kind != "view" and owner_is_loader:
            session.execute(
                SQL("alter table {} owner to lcm_loader").format(Identifier("mart", mart.name))
            )
    if keeper is not None:
        keeper.close()
    forget_refreshes(session, [mart.name for mart in anew])
    _make_others(session, lost)
    present = {mart.name for mart in anew}
    for name, role, privilege in grants:
        if name in present:
            session.execute(
                SQL("grant {} on {} to {}").format(
                    SQL(privilege),
                    Identifier("mart", name),
                    SQL("public") if role is None else Identifier(role),
                )
            )


def _drop(session: psycopg.Connection, names: list[str]) -> dict[str, list[str]]:
    """Drop marts; returns the views of others that went with them, and what makes each again."""
    others = _others(session)
    for name, kind in session.execute(query("present_marts"), {"names": names}).fetchall():
        # A mart may be gone by now, with one that it read.
        session.execute(
            SQL("drop {} if exists {} cascade").format(SQL(kind), Identifier("mart", name))
        )
    for name in names:
        session.execute(SQL("drop view if exists {} cascade").format(Identifier("refresh", name)))
    left = _others(session)
    return {name: statements for name, statements in others.items() if name not in left}


def _others(session: psycopg.Connection) -> dict[str, list[str]]:
    ours = list(_installed(session))
    return dict(session.execute(query("views_of_others"), {"names": ours}).fetchall())


def _make_others(session: psycopg.Connection, lost: dict[str, list[str]]) -> None:
    """Make the views of others again that read our marts, where they still fit.

    Raises MartInUseError, which names all that do not and why.
    """
    problems: dict[str, str] = {}
    for name, statements in lost.items():
        try:
            with session.transaction():
                for statement in statements:
                    session.execute(statement.encode())
        except psycopg.Error as error:
            problems[name] = str(error).splitlines()[0]
    if problems:
        listed = "\n".join(f"  {name}: {reason}" for name, reason in problems.items())
        raise MartInUseError(
            "views of yours read marts that have to be made anew, and do not fit the new ones;"
            f" nothing was changed. Drop them, run this again, and make them anew:\n{listed}"
        )
