"""Checks the rights of the warehouse user, and names the statements that grant missing ones.

Checked before anything is written. From PostgreSQL 15 on, only the owner of the database may create
tables in the schema public, which contains the ledger of migrations.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.queries import fetch_column, fetch_row, query

logger = logging.getLogger(__name__)

# From PostgreSQL 16 on, inheritance is an option of each membership, not of the role.
_INHERITING = 160_000
# In one warning; the next lcm migrate names the others.
_MAX_STATEMENTS = 10


class MissingRightsError(WarehouseUnavailableError):
    """The user lacks rights. statements: grant them, run by the owner of the database."""

    def __init__(self, rights: "_Rights", problem: str, statements: Sequence[str]) -> None:
        listed = "".join(f"\n  {statement}" for statement in statements)
        super().__init__(
            f"The user {rights.user_name} of LCM_DATABASE_URL {problem}. Have the owner of the"
            f" database, or a superuser, run in database {rights.database}:{listed}"
        )
        self.statements = tuple(statements)


@dataclass(frozen=True)
class _Rights:
    """The rights of a user; names are quoted for SQL. None: the table does not exist yet."""

    user_name: str
    database: str
    creates_schemas: bool
    creates_temporary_tables: bool
    has_public: bool
    creates_in_public: bool
    is_migrated: bool
    owner: str | None
    acts_as_owner: bool
    acts_as_loader: bool
    loader_is_granted: bool
    is_member_of_loader: bool
    loader_uses_public: bool
    creates_months: bool


def require_use(session: Session) -> None:
    """Raise MissingRightsError if the user may neither create nor fill the warehouse."""
    rights = _read(session)
    missing = []
    if rights.is_migrated:
        if not (rights.acts_as_owner or rights.acts_as_loader):
            missing.append(_membership(session, rights))
    else:
        if not rights.creates_schemas:
            missing.append(f"grant create on database {rights.database} to {rights.user_name};")
        if not rights.has_public:
            missing.append("create schema public;")
        if not rights.creates_in_public:
            missing.append(f"grant usage, create on schema public to {rights.user_name};")
    if not rights.creates_temporary_tables:
        missing.append(f"grant temporary on database {rights.database} to {rights.user_name};")
    # A user who is the owner itself needs the same.
    missing += [each for each in fetch_column(session, "rights_of_owner") if each not in missing]
    if missing:
        raise MissingRightsError(rights, "lacks rights that the warehouse needs", missing)


def require_ownership(session: Session) -> None:
    """Raise MissingRightsError if the schema belongs to another user."""
    rights = _read(session)
    if rights.is_migrated and not rights.acts_as_owner:
        raise MissingRightsError(
            rights,
            "may not change the schema of the warehouse, which this version has to: run"
            f" lcm migrate as its owner {rights.owner}, or let the user act as it",
            [f"grant {rights.owner} to {rights.user_name};"],
        )


def require_new_months(warehouse: Warehouse) -> None:
    """Raise MissingRightsError if the user may not add partitions to the facts.

    Members of lcm_loader may; so may whoever acts as the owner.
    """
    with warehouse.connect() as session:
        rights = _read(session)
        if rights.is_migrated and not rights.creates_months:
            raise MissingRightsError(
                rights,
                "may not create tables for new months, and other tables that a sync needs",
                [_membership(session, rights)],
            )
        # Again: when `require_use` ran, a new warehouse had no owner yet.
        if missing := fetch_column(session, "rights_of_owner"):
            raise MissingRightsError(
                rights, "fills a warehouse whose owner lacks rights that a sync needs", missing
            )


def require_roles(session: Session) -> None:
    """Let the user act as lcm_owner and lcm_loader, if it is a member of them.

    Since PostgreSQL 16 the creator of a role is its member, but needs an explicit grant to act as
    it. Raises WarehouseUnavailableError with the statement, if the user may not run it.
    """
    if session.info.server_version < _INHERITING:
        return
    session.execute("set createrole_self_grant = 'set, inherit'")
    for user, role in session.execute(query("roles_without_set")).fetchall():
        statement = f"grant {role} to {user} with inherit true, set true"
        try:
            session.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege as error:
            raise WarehouseUnavailableError(
                f"The user {user} of LCM_DATABASE_URL is a member of {role}, but may not act as"
                f" it. Have a superuser run:\n  {statement};"
            ) from error


def give_to_owner(session: Session) -> None:
    """Give the schemas, tables, views and functions of the warehouse to lcm_owner.

    Creates the role if it is missing. Where the user, or the owner so far, may not act as it, that
    owner gets them instead, from lcm_loader for example. Each statement is a transaction of its
    own: all of them together might need more locks than the server has room for. Logs a warning for
    what has to be left. Does nothing for a user who is not the owner of the warehouse.
    """
    if not _read(session).acts_as_owner:
        return
    with session.transaction():
        locks.hold_migrations(session)
        session.execute(query("prepare_owner"))
    left = []
    for statement in fetch_column(session, "statements_for_owner"):
        try:
            with session.transaction():
                session.execute("set local lock_timeout = '10s'")
                locks.hold_migrations(session)
                session.execute(statement.encode())
        except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
            left.append(statement)
        except psycopg.errors.UndefinedTable:
            # A staging table of a run that has ended meanwhile.
            continue
    if left:
        logger.warning(
            "%s of the warehouse could not be given to its owner, as it is in use or this user"
            " may not: run lcm migrate again, or have a superuser run in this database: %s%s",
            "one object" if len(left) == 1 else f"{len(left):,} objects",
            "; ".join(left[:_MAX_STATEMENTS]),
            " …" if len(left) > _MAX_STATEMENTS else "",
        )


def grant_rights(session: Session) -> dict[str, int]:
    """Grant the group roles exactly their rights; returns the number of new rights by role.

    The roles may have been created after the migrations, or a dump may have been restored without
    its privileges. Does nothing for a user who is not the owner of the warehouse.
    """
    if not _read(session).acts_as_owner:
        return {}
    before = _count_rights(session)
    with session.transaction():
        locks.hold_migrations(session)
        session.execute(query("grant_rights"))
    after = _count_rights(session)
    added = {role: count - before.get(role, 0) for role, count in sorted(after.items())}
    return {role: count for role, count in added.items() if count > 0}


def warn_of_missing_roles(session: Session) -> None:
    """Log one warning with the statements that create the missing group roles, if any."""
    missing = session.execute(query("missing_roles")).fetchall()
    if not missing:
        return
    user, owner = missing[0][2:]
    names = ", ".join(role for role, *_ in missing)
    statements = [f"create role {role} nologin;" for role, *_ in missing]
    granted = ", ".join(role for role, is_for_owner, *_ in missing if is_for_owner)
    if granted:
        statements.append(f"grant {granted} to {owner};")
    logger.warning(
        "%s may not create the group roles of the warehouse that are missing: %s. Everything works"
        " for %s; other logins get no rights yet. Have a superuser, or a user with createrole,"
        " run the following, and then run lcm migrate again:\n%s",
        user,
        names,
        owner,
        "\n".join(f"  {statement}" for statement in statements),
    )


def _count_rights(session: Session) -> dict[str, int]:
    return dict(session.execute(query("rights_of_roles")).fetchall())


def _read(session: Session) -> _Rights:
    rights = fetch_row(session, _Rights, "rights_of_user")
    assert rights is not None  # noqa: S101 - the query returns one row
    return rights


def _membership(session: Session, rights: _Rights) -> str:
    """The statement that lets the user fill a warehouse that another user created."""
    if not rights.loader_is_granted:
        return f"grant {rights.owner} to {rights.user_name};"
    if not rights.is_member_of_loader:
        return f"grant lcm_loader to {rights.user_name};"
    if not rights.loader_uses_public:
        return "grant usage on schema public to lcm_loader;"
    if session.info.server_version < _INHERITING:
        return f"alter role {rights.user_name} inherit;"
    return f"grant lcm_loader to {rights.user_name} with inherit true;"
