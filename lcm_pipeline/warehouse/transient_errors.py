"""Which failures of the database pass on their own, so that trying again is right.

A refusal while connecting carries no SQLSTATE, only the server's words.
"""

import psycopg
from psycopg import errors

_PASSING = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.TooManyConnections,
    errors.CannotConnectNow,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.IdleSessionTimeout,
)
_CONNECTION_LOST = "08"
_STARTING_UP = (
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
    "the database system is not accepting connections",
)
_FULL = (
    "too many clients already",
    "remaining connection slots are reserved",
    "too many connections",
)


# A pooler gives all its own failures the code of a protocol violation.
_POOLER = (
    "server conn crashed",
    "server connection crashed",
    "server login failed",
    "server login has been failing",
    "cannot connect to server",
    "no more connections allowed",
    "pgbouncer database is paused",
)


def is_transient(error: psycopg.Error) -> bool:
    """Whether the same statement or connection may succeed soon. A full disk does not."""
    if isinstance(error, _PASSING):
        return True
    if isinstance(error, errors.ProtocolViolation):
        return _says(error, _POOLER)
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_CONNECTION_LOST)
    return isinstance(error, psycopg.OperationalError) and not _is_refusal(error)


def is_starting_up(error: psycopg.Error) -> bool:
    """Whether a server answered that it will take connections later."""
    return isinstance(error, errors.CannotConnectNow) or _says(error, _STARTING_UP)


def _is_refusal(error: psycopg.Error) -> bool:
    """A server's answer to a connection, other than that it is busy for now."""
    return "FATAL:" in str(error) and not _says(error, (*_STARTING_UP, *_FULL, *_POOLER))


def _says(error: psycopg.Error, phrases: tuple[str, ...]) -> bool:
    text = str(error)
    return any(phrase in text for phrase in phrases)
