"""Brings the schema up to date: plain SQL files, each in one transaction, forward only; then marts.

The registry of feeds (`lcm_pipeline.feeds`) goes to `sync.feeds`, and the views that have a branch
for each feed are made from it, before the marts that join them.

A file that was applied and has changed since is an error, never applied again. Processes that
migrate at once wait for each other.
"""

import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.settings import described_env_file
from lcm_pipeline.warehouse import locks, rights
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.errors import NothingSyncedError, WarehouseUnavailableError
from lcm_pipeline.warehouse.marts.install import MartInUseError, are_behind, install_marts
from lcm_pipeline.warehouse.queries import migration_files, query

_log = logging.getLogger(__name__)

_SCHEMAS = ("core_live", "core", "history", "mart", "outbox", "refresh", "staging", "sync")


class MigrationError(UserError):
    """The schema cannot be brought up to date; the message names the file and why."""


class NewerSchemaError(UsageError):
    """The schema is of a newer version of lcm: a rerun does not help, an update does."""


def migrate(warehouse: Warehouse, *, marts_may_wait: bool = False) -> list[str]:
    """Apply what is missing; returns the names of what was applied.

    marts_may_wait: where views of others stand in the way of new marts, warn and leave the marts as
    they are: facts can be published without them, see `have_old_marts`. Raises MigrationError, or
    WarehouseUnavailableError where the user may not.
    """
    applied: list[str] = []
    with warehouse.connect(autocommit=True, application_name="lcm migrate") as session:
        session.add_notice_handler(_pass_on)
        rights.require_use(session)
        if not _is_behind(session) and _has_feeds(session) and not are_behind(session):
            return applied
        rights.require_ownership(session)
        rights.hand_over_to_loader(session)
        session.execute("select pg_advisory_lock(%s)", (locks.MIGRATE,))
        session.execute(query("create_migrations"))
        known = _known(session)
        for path in migration_files():
            if path.name not in known:
                _apply(session, path)
                applied.append(path.name)
        if applied or not _has_feeds(session):
            _write_feeds(session)
        applied += _bring_marts(session, may_wait=marts_may_wait)
        session.execute(query("identify_replicas"))
        rights.grant_rights(session)
        return applied


def have_old_marts(warehouse: Warehouse) -> bool:
    """Whether the marts are those of an older version, as views of others read them."""
    with warehouse.connect() as session:
        return are_behind(session)


def grant_missing_rights(warehouse: Warehouse) -> dict[str, int]:
    """Grant the group roles what they lack in a migrated warehouse; returns how many rights each.

    A role that cannot be made, and a right that the user may not give, is a warning.
    """
    with warehouse.connect(autocommit=True, application_name="lcm migrate") as session:
        session.add_notice_handler(_pass_on)
        session.execute("select pg_advisory_lock(%s)", (locks.MIGRATE,))
        return rights.grant_rights(session)


def require_some_schema(warehouse: Warehouse) -> None:
    """Raise NothingSyncedError where the database holds no warehouse; changes nothing."""
    with warehouse.connect() as session:
        _find_ledger(session, warehouse)


def require_current_schema(session: psycopg.Connection, warehouse: Warehouse) -> None:
    """Raise where a command that only reads would misread the schema; changes nothing.

    Raises NothingSyncedError where there is none, WarehouseUnavailableError where it is of an older
    version, NewerSchemaError where it is of a newer one. A user who may not read the ledger of the
    migrations is let pass: what is missing shows as it is read.
    """
    if not _find_ledger(session, warehouse) or not _is_behind(session):
        return
    known = _known(session)
    missing = [path.name for path in migration_files() if path.name not in known]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise WarehouseUnavailableError(
        f"The schema of {warehouse.place} is older than this version of lcm (it lacks"
        f" {missing[0]}{more}), and this command changes nothing: run lcm migrate"
    )


def _find_ledger(session: psycopg.Connection, warehouse: Warehouse) -> bool:
    """Whether the user may read the ledger of migrations; raises NothingSyncedError without one."""
    ledger = session.execute(query("ledger_of_migrations")).fetchone()
    if ledger is None:
        raise NothingSyncedError(
            f"the database {warehouse.place} holds no warehouse", settings=described_env_file()
        )
    return bool(ledger[0])


def drop_everything(warehouse: Warehouse) -> None:
    """Drop everything that migrations made, data included. For throw-away warehouses."""
    with warehouse.connect(application_name="lcm start afresh") as session:
        for schema in _SCHEMAS:
            session.execute(SQL("drop schema if exists {} cascade").format(Identifier(schema)))
        session.execute("drop table if exists public.lcm_migrations, public.lcm_marts")


def _is_behind(session: psycopg.Connection) -> bool:
    """Whether a file is missing; raises when one was changed after it was applied."""
    row = session.execute(query("has_migrations")).fetchone()
    known = _known(session) if row and row[0] else {}
    files = migration_files()
    for path in files:
        if path.name in known and known[path.name] != _checksum(path):
            raise MigrationError(
                f"{path.name} was changed after it was applied: put it back, and add a new file"
            )
    if newer := known.keys() - {path.name for path in files}:
        raise NewerSchemaError(
            f"the warehouse was migrated by a newer version of lcm ({max(newer)}), and nothing was"
            " changed: update lcm_pipeline"
        )
    return len(known) < len(files)


def _known(session: psycopg.Connection) -> dict[str, str]:
    rows = session.execute(query("applied_migrations")).fetchall()
    return {str(name): str(checksum) for name, checksum in rows}


def _apply(session: psycopg.Connection, path: Path) -> None:
    try:
        with session.transaction():
            session.execute(path.read_bytes())
            session.execute(
                query("record_migration"), {"name": path.name, "checksum": _checksum(path)}
            )
    except psycopg.Error as error:
        raise MigrationError(f"{path.name} failed: {str(error).strip()}") from error


def _feeds() -> list[dict[str, Any]]:
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


def _has_feeds(session: psycopg.Connection) -> bool:
    """Whether sync.feeds holds the facts of this version, and its views are made."""
    with session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query("stored_feeds")).fetchall() == _feeds()


def _write_feeds(session: psycopg.Connection) -> None:
    with session.transaction():
        session.execute(query("clear_feeds"))
        session.cursor().executemany(query("add_feed"), _feeds())
        session.execute(query("make_feed_views"))


def _bring_marts(session: psycopg.Connection, *, may_wait: bool) -> list[str]:
    try:
        return [f"mart.{name}" for name in install_marts(session)]
    except MartInUseError as error:
        if not may_wait:
            raise MigrationError(str(error)) from error
        _log.warning("the marts stay those of an older version: %s", error)
        return []
    except psycopg.Error as error:
        raise MigrationError(f"the marts failed: {str(error).strip()}") from error


def _pass_on(notice: psycopg.errors.Diagnostic) -> None:
    """What a migration could not do, such as make a role, reaches whoever migrates."""
    if notice.severity_nonlocalized == "WARNING":
        _log.warning("%s", notice.message_primary)


def _checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
