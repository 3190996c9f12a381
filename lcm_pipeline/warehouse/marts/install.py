"""Installs the marts of sql/marts, each after those that it reads.

A mart whose file has not changed since it was installed is left as it is. A stored mart cannot be
replaced, so it and the marts that read it are dropped, created and filled in one transaction; their
readers wait meanwhile. Grants on them are restored, and indexes on them and views of other users
that read them are created again from their definitions. Where anything else of users would be lost,
nothing changes.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress

import psycopg

from lcm_pipeline.model.texts import database_message
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.marts.definitions import Mart, marts
from lcm_pipeline.warehouse.marts.incremental import IncrementalRefresher
from lcm_pipeline.warehouse.marts.progress import logged_progress
from lcm_pipeline.warehouse.marts.refresh import invalidate_refreshes
from lcm_pipeline.warehouse.marts.scope import Scope
from lcm_pipeline.warehouse.queries import fetch_column, query
from lcm_pipeline.warehouse.sessions import grant_memory

logger = logging.getLogger(__name__)


class MartInUseError(Exception):
    """Views of other users read a mart and cannot be created again; nothing was changed."""


def definitions_differ(session: Session) -> bool:
    """Whether a mart is missing, has changed, or no longer has a file."""
    return _installed(session) != {mart.name: mart.checksum for mart in marts()}


def install_marts(session: Session) -> list[str]:
    """Install new and changed marts in one transaction; returns their names.

    Raises MartInUseError or psycopg.Error; then nothing has changed.
    """
    with session.transaction():
        installed = _installed(session)
        wanted = marts()
        changed = [mart for mart in wanted if installed.get(mart.name) != mart.checksum]
        surplus = installed.keys() - {mart.name for mart in wanted}
        if surplus or not _replace(session, changed):
            _recreate(session, _with_readers(wanted, changed), surplus)
        for mart in wanted:
            session.execute(query("record_mart"), {"name": mart.name, "checksum": mart.checksum})
        session.execute(query("delete_marts"), {"names": list(surplus)})
    return [mart.name for mart in changed]


def _installed(session: Session) -> dict[str, str]:
    rows = session.execute(query("installed_marts")).fetchall()
    return {str(name): str(checksum) for name, checksum in rows}


def _replace(session: Session, changed: list[Mart]) -> bool:
    """Replace views in place; changes nothing and returns False if that is not possible.

    Stored marts, and views whose columns change, have to be recreated.
    """
    if any(mart.kind != "view" for mart in changed):
        return False
    try:
        with session.transaction():
            for mart in changed:
                session.execute(mart.statements.encode())
    except (psycopg.errors.InvalidTableDefinition, psycopg.errors.WrongObjectType):
        return False
    return True


def _with_readers(wanted: Sequence[Mart], changed: list[Mart]) -> list[Mart]:
    """The changed marts and all marts that read them, in the order of creation."""
    affected = {mart.name for mart in changed}
    for mart in wanted:
        if affected.intersection(mart.reads):
            affected.add(mart.name)
    return [mart for mart in wanted if mart.name in affected]


def _recreate(session: Session, affected: list[Mart], surplus: set[str]) -> None:
    """Drop and create the affected marts, and the views of other users that read them."""
    grants = session.execute(query("mart_grants")).fetchall()
    indexes = session.execute(query("mart_indexes")).fetchall()
    attached = _objects_on_marts(session)
    others = _other_views(session)
    names = [*surplus, *(mart.name for mart in affected)]
    for statement in fetch_column(session, "drops_of_marts", {"names": names}):
        session.execute(statement.encode())
    left = _other_views(session)
    dropped = {name: statements for name, statements in others.items() if name not in left}
    grant_memory(session)
    has_tables = any(mart.kind == "table" for mart in affected)
    refresher = IncrementalRefresher(Scope.of_everyone(session)) if has_tables else None
    with logged_progress(len(affected)) as begin:
        for mart in affected:
            begin(mart.name)
            session.execute(mart.statements.encode())
            if mart.kind != "view":
                values = {"mart_name": mart.name, "is_table": mart.kind == "table"}
                for statement in fetch_column(session, "rights_on_new_mart", values):
                    session.execute(statement.encode())
            if refresher is not None and mart.kind == "table":
                # A publication of the schema has the new table too, and refuses to delete from it.
                session.execute(query("identify_replicas"))
                refresher.replace(mart)
    if refresher is not None:
        refresher.close()
        session.execute(query("delete_passed_horizons"))
    invalidate_refreshes(session, [mart.name for mart in affected])
    recreated = {mart.name for mart in affected}
    for name, statement in grants:
        if name in recreated:
            session.execute(statement.encode())
    _recreate_other_indexes(
        session, {name: statement for mart, name, statement in indexes if mart in recreated}
    )
    # After the grants, as their owners read the marts.
    _recreate_other_views(session, dropped)
    _require_kept(session, attached)


def _other_views(session: Session) -> dict[str, list[str]]:
    """The views of other users that read our marts, with the statements that create each."""
    ours = list(_installed(session))
    return dict(session.execute(query("views_of_others"), {"names": ours}).fetchall())


def _recreate_other_views(session: Session, dropped: dict[str, list[str]]) -> None:
    """Create the dropped views of other users again.

    Raises MartInUseError, which lists the views that no longer fit or that the user may not create.
    """
    problems: dict[str, str] = {}
    for name, statements in dropped.items():
        try:
            with session.transaction():
                for statement in statements:
                    session.execute(statement.encode())
        except psycopg.Error as error:
            problems[name] = database_message(str(error))
    if problems:
        listed = "\n".join(f"  {name}: {reason}" for name, reason in problems.items())
        raise MartInUseError(
            "views of yours read marts that have to be recreated, and cannot be created again;"
            " nothing was changed. Drop them, run this again, and create them again, or run this as"
            f" a user who may create them:\n{listed}"
        )


def _recreate_other_indexes(session: Session, dropped: dict[str, str]) -> None:
    """Create the dropped indexes that the files of the marts do not create; logs what cannot be.

    They only make queries faster, so they stop no migration. Unique ones are not given: a key of
    the older version would make refreshes fail.
    """
    present = {name for _, name, _ in session.execute(query("mart_indexes")).fetchall()}
    for name in sorted(dropped.keys() - present):
        try:
            with session.transaction():
                session.execute(dropped[name].encode())
        except psycopg.Error as error:
            logger.warning(
                "the index %s of yours no longer fits its mart, and is gone: %s",
                name,
                database_message(str(error)),
            )


def _objects_on_marts(session: Session) -> set[str]:
    """Functions, triggers, columns and others of users that are dropped with marts, by name.

    The name of a right on columns, and of a table in a publication, is the statement that adds it.
    """
    return set(fetch_column(session, "objects_on_marts"))


def _require_kept(session: Session, attached: set[str]) -> None:
    """Add dropped rights on columns, and tables to publications, again.

    Raises MartInUseError if something else is gone, or may not be added.
    """
    for statement in attached:
        if not statement.startswith(("grant ", "alter publication ")):
            continue
        refused = suppress(
            psycopg.errors.UndefinedColumn,
            psycopg.errors.UndefinedTable,
            psycopg.errors.InsufficientPrivilege,
        )
        with refused, session.transaction():
            session.execute(statement.encode())
    if lost := attached - _objects_on_marts(session):
        listed = "\n".join(f"  {name}" for name in sorted(lost))
        raise MartInUseError(
            "objects of yours depend on marts that have to be recreated; nothing was changed. Drop"
            f" them, run this again, and create them again:\n{listed}"
        )
