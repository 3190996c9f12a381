"""Schema migrations: plain SQL files, each applied in one transaction, forward only; then marts.

The registry of feeds (`lcm_pipeline.feeds`) is copied to `sync.feeds`, and the views with a branch
per feed are generated from it, before the marts that join them are installed.

A file that changed after it was applied is an error; it is never applied again. Concurrent
migrations wait for each other.
"""

import logging
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.model.texts import database_message
from lcm_pipeline.settings import described_env_file
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.access import rights
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.errors import NothingSyncedError, WarehouseUnavailableError
from lcm_pipeline.warehouse.marts.install import MartInUseError, definitions_differ, install_marts
from lcm_pipeline.warehouse.queries import fetch_column, fetch_value, migration_files, query
from lcm_pipeline.warehouse.schema import require_columns

logger = logging.getLogger(__name__)

# "no privileges were granted": the user holds the right, but not the option to grant it.
_NOT_GRANTABLE = "01007"

# It warns of roles that it may not create, once for each and of the rights of its own version;
# `warn_of_missing_roles` says what is missing in the end.
_ROLES = "0006_create_roles.sql"

_SCHEMAS = ("core_live", "core", "history", "mart", "outbox", "refresh", "staging", "sync")
_CONCURRENT_CHANGE = "tuple concurrently updated"
_RETRY_SECONDS, _PAUSE_SECONDS = 60.0, 0.2


class MigrationError(UserError):
    """A migration or a mart failed; the message names it and the reason."""


class NewerSchemaError(UsageError):
    """The schema is of a newer version of lcm; only an update of lcm helps."""


class SchemasOfOthersError(WarehouseUnavailableError):
    """The database has schemas with our names that no migration created."""


def migrate(warehouse: Warehouse, *, marts_may_wait: bool = False) -> list[str]:
    """Apply missing migrations and install changed marts; returns the names of both.

    marts_may_wait: where views of other users block new marts, warn and leave the old marts: facts
    can be published without them, see `have_old_marts`. Raises MigrationError, NewerSchemaError, or
    WarehouseUnavailableError if the user lacks rights, the database belongs to something else, or a
    table or column is missing (ChangedSchemaError).
    """
    applied: list[str] = []
    deadline = time.monotonic() + _RETRY_SECONDS
    while True:
        try:
            _migrate(warehouse, applied, marts_may_wait=marts_may_wait)
        except (MigrationError, psycopg.errors.InternalError_) as error:
            # Roles belong to the server: the migration of another database has changed one too.
            if _CONCURRENT_CHANGE not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return applied


def _migrate(warehouse: Warehouse, applied: list[str], *, marts_may_wait: bool) -> None:
    with warehouse.connect(autocommit=True, application_name="lcm migrate") as session:
        _require_no_schemas_of_others(session, warehouse)
        rights.require_use(session)
        is_behind = _is_behind(session)
        if not is_behind:
            require_columns(session, warehouse)
        was_killed = not is_behind and fetch_value(session, "has_begun_migration")
        if not (is_behind or was_killed or not _has_feeds(session) or definitions_differ(session)):
            return
        rights.require_ownership(session)
        rights.require_roles(session)
        try:
            session.execute(query("create_migrations"))
        except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
            # `if not exists` fails if another process creates it at the same moment.
            session.execute(query("create_migrations"))
        session.execute(query("begin_migration"))
        session.add_notice_handler(_log_warning)
        applied += [path.name for path in migration_files() if _apply(session, path)]
        # Again: in a new warehouse the table is created by a migration.
        session.execute(query("begin_migration"))
        if applied or was_killed or not _has_feeds(session):
            with session.transaction():
                locks.hold_migrations(session)
                session.execute(query("clear_feeds"))
                session.cursor().executemany(query("add_feed"), _feeds())
                session.execute(query("make_feed_views"))
        applied += _install_marts(session, may_wait=marts_may_wait)
        session.execute(query("identify_replicas"))
        rights.give_to_owner(session)
        rights.grant_rights(session)
        # What was killed before is done again, or the rights would be missing for good.
        session.execute(query("end_migration"))
        rights.warn_of_missing_roles(session)


def have_old_marts(warehouse: Warehouse) -> bool:
    """Whether the marts are of an older version, because views of other users depend on them."""
    with warehouse.connect() as session:
        return definitions_differ(session)


def grant_missing_rights(warehouse: Warehouse) -> dict[str, int]:
    """Grant the group roles missing rights in a migrated warehouse; returns the number by role.

    What was restored without its owner is given to lcm_owner first. Logs one warning for the roles
    that the user may not create, and one for each right that it may not grant.
    """
    with warehouse.connect(autocommit=True, application_name="lcm migrate") as session:
        session.add_notice_handler(_log_warning)
        rights.give_to_owner(session)
        granted = rights.grant_rights(session)
        rights.warn_of_missing_roles(session)
        return granted


def require_some_schema(warehouse: Warehouse) -> None:
    """Raise NothingSyncedError if the database holds no warehouse; changes nothing."""
    with warehouse.connect() as session:
        _find_ledger(session, warehouse)


def require_current_schema(session: Session, warehouse: Warehouse) -> None:
    """Check that a command that only reads can use the schema; changes nothing.

    Raises NothingSyncedError if there is none, WarehouseUnavailableError if it is of an older
    version, NewerSchemaError if it is of a newer one, ChangedSchemaError if it lacks a table or a
    column. Skips the check for a user who may not read the ledger of migrations: a missing table
    then fails the query that reads it.
    """
    if not _find_ledger(session, warehouse):
        return
    if not _is_behind(session):
        require_columns(session, warehouse)
        return
    known = _applied(session)
    missing = [path.name for path in migration_files() if path.name not in known]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise WarehouseUnavailableError(
        f"The schema of {warehouse.location} is older than this version of lcm (it lacks"
        f" {missing[0]}{more}), and this command changes nothing: run lcm migrate"
    )


def _find_ledger(session: Session, warehouse: Warehouse) -> bool:
    """Whether the user may read the ledger of migrations; NothingSyncedError if there is none.

    SchemasOfOthersError if there is none, but schemas with our names.
    """
    ledger = session.execute(query("ledger_of_migrations")).fetchone()
    if ledger is None:
        _require_no_schemas_of_others(session, warehouse)
        raise NothingSyncedError(
            f"the database {warehouse.location} holds no warehouse", settings=described_env_file()
        )
    return bool(ledger[0])


def _require_no_schemas_of_others(session: Session, warehouse: Warehouse) -> None:
    """Raise SchemasOfOthersError before anything is created in a database of something else."""
    if found := fetch_column(session, "schemas_of_others", {"schemas": list(_SCHEMAS)}):
        raise SchemasOfOthersError(
            f"The database {warehouse.location} has schemas that no lcm migrate created"
            f" ({', '.join(found)}): it belongs to another application,"
            " or was restored without its schema public. Nothing was changed: set LCM_DATABASE_URL"
            " to a database of lcm's own"
        )


def drop_everything(warehouse: Warehouse) -> None:
    """Drop everything that migrations created, including the data. For throw-away warehouses."""
    with warehouse.connect(application_name="lcm reset") as session:
        for schema in _SCHEMAS:
            session.execute(SQL("drop schema if exists {} cascade").format(Identifier(schema)))
        session.execute("drop table if exists public.lcm_migrations, public.lcm_marts")


def _is_behind(session: Session) -> bool:
    """Whether a migration is missing; raises if one was changed after it was applied."""
    known = _applied(session) if fetch_value(session, "has_migrations") else {}
    files = migration_files()
    for path in files:
        if path.name in known and known[path.name] != _checksum(path):
            raise MigrationError(
                f"{path.name} was changed after it was applied: restore it, and add a new file"
            )
    if newer := known.keys() - {path.name for path in files}:
        raise NewerSchemaError(
            f"the warehouse was migrated by a newer version of lcm ({max(newer)}). Nothing was"
            " changed: update lcm_pipeline"
        )
    return len(known) < len(files)


def _applied(session: Session) -> dict[str, str]:
    """The checksums of the applied migrations, by file name."""
    rows = session.execute(query("applied_migrations")).fetchall()
    return {str(name): str(checksum) for name, checksum in rows}


def _apply(session: Session, path: Path) -> bool:
    """Apply a migration unless it was applied before; returns whether it was applied now."""
    try:
        with session.transaction():
            locks.hold_migrations(session)
            if path.name in _applied(session):
                return False
            if path.name == _ROLES:
                session.execute("set local client_min_messages = error")
            session.execute(path.read_bytes())
            session.execute(
                query("record_migration"), {"name": path.name, "checksum": _checksum(path)}
            )
    except psycopg.Error as error:
        raise _failed(path.name, error) from error
    return True


def _feeds() -> list[dict[str, Any]]:
    """The registry as rows of sync.feeds."""
    return [
        {
            "feed": feed.name,
            "position": position,
            "main_table": feed.main_table.name,
            "is_by_day": feed.is_by_day,
            "has_marts": feed.has_marts,
        }
        for position, feed in enumerate(FEEDS, start=1)
    ]


def _has_feeds(session: Session) -> bool:
    """Whether sync.feeds holds the registry of this version; its views are created with it."""
    with session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query("stored_feeds")).fetchall() == _feeds()


def _install_marts(session: Session, *, may_wait: bool) -> list[str]:
    try:
        with session.transaction():
            locks.hold_migrations(session)
            return [f"mart.{name}" for name in install_marts(session)]
    except MartInUseError as error:
        if not may_wait:
            raise MigrationError(str(error)) from error
        logger.warning("the marts of the older version remain: %s", error)
        return []
    except psycopg.Error as error:
        raise _failed("the marts", error) from error


def _failed(what: str, error: psycopg.Error) -> MigrationError:
    return MigrationError(
        f"{what} failed: {database_message(str(error))}. Nothing of this step was applied: remove"
        " the cause, then run `lcm migrate`"
    )


def _log_warning(notice: psycopg.errors.Diagnostic) -> None:
    """Log a warning of a statement, such as that it could not grant a right.

    Postgres warns of rights that cannot be granted, but names neither the role nor the statement.
    These concern schema public and the database, which by default everybody may use.
    """
    if notice.severity_nonlocalized == "WARNING" and notice.sqlstate != _NOT_GRANTABLE:
        logger.warning("%s", notice.message_primary)


def _checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
