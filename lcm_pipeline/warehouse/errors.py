"""Errors of the warehouse that its user can fix."""

import psycopg

from lcm_pipeline.model.errors import UsageError, UserError

# What a statement raises if the schema is of another version, or is missing.
OTHER_SCHEMA_ERRORS = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
)


class WarehouseUnavailableError(UsageError):
    """The warehouse cannot be used; the message names it, what failed and what to do."""


class WarehouseLockedError(UserError):
    """A lock was not granted in time; the message names the session that holds it."""

    def __init__(self, waiter: str, blockers: str) -> None:
        super().__init__(
            f"{waiter} timed out waiting for a lock in the warehouse that is held by {blockers}."
            " Nothing is lost: end that transaction, then run the same command again"
        )


class NothingSyncedError(WarehouseUnavailableError):
    """The settings point to no warehouse.

    reason: what is missing where. settings: which settings file was read. hint: another warehouse
    that may be meant.
    """

    def __init__(self, reason: str, *, settings: str, hint: str = "") -> None:
        super().__init__(
            f"Nothing was ever synced here: {reason}. {settings}.\n"
            "To read another warehouse, run the command in the folder of its .env, or set LCM_HOME"
            " (an embedded one) or LCM_DATABASE_URL. To fill this one: lcm sync; to try it on"
            f" made-up data: lcm demo{hint}"
        )
