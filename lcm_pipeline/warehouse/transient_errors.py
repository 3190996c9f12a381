"""Classifies database errors as transient, so that a retry can succeed, or permanent.

An error while connecting carries no SQLSTATE, so it is recognized by the server's message, in the
language of the server (lc_messages): English or Russian.
"""

import psycopg
from psycopg import errors

# Of transactions with each other: the warehouse responds.
_CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_TRANSIENT = (
    *_CONFLICTS,
    errors.TooManyConnections,
    errors.CannotConnectNow,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.IdleSessionTimeout,
    # The machine of the command was asleep, or its process was stopped.
    errors.IdleInTransactionSessionTimeout,
)
_CONNECTION_LOST = "08"
_STARTING_UP = (
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
    "the database system is not accepting connections",
    "система баз данных запускается",
    "система баз данных останавливается",
    "система баз данных в режиме восстановления",
    "система БД ещё не принимает подключения",
    "система БД не принимает подключения",
)
# A limit that was reached, and how to get below it; that of a role or a database names it.
_FULL_ADVICE = (
    (
        ("too many connections for role", "слишком много подключений для роли"),
        "End other sessions of this user, lower LCM_READERS, or raise the limit: alter role …"
        " connection limit …",
    ),
    (
        ("too many connections for database", "слишком много подключений к БД"),
        "End other sessions of this database, lower LCM_READERS, or raise the limit: alter"
        " database … connection limit …",
    ),
    (
        ("no more connections allowed",),
        "End other sessions, lower LCM_READERS, or raise max_client_conn of the pooler",
    ),
    (
        (
            "too many clients already",
            "remaining connection slots are reserved",
            "too many connections",
            "уже слишком много клиентов",
            "оставшиеся слоты подключений зарезервированы",
            "слишком много подключений",
        ),
        "End other sessions, lower LCM_READERS, raise max_connections of the server, or put"
        " PgBouncer in session mode before it",
    ),
)
_FULL = tuple(phrase for phrases, _ in _FULL_ADVICE for phrase in phrases)
_REFUSAL = ("FATAL:", "ВАЖНО:")
# PgBouncer reports all its own failures with the code of a protocol violation.
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
    """Whether the same statement or connection may soon succeed; false for a full disk."""
    if isinstance(error, _TRANSIENT):
        return True
    if isinstance(error, errors.ProtocolViolation):
        return _contains(error, _POOLER)
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_CONNECTION_LOST)
    # A server that is not busy, and refuses the connection, will refuse it again.
    is_refused = _contains(error, _REFUSAL) and not _contains(
        error, (*_STARTING_UP, *_FULL, *_POOLER)
    )
    return isinstance(error, psycopg.OperationalError) and not is_refused


def is_conflict(error: psycopg.Error) -> bool:
    """Whether another transaction was in the way, while the warehouse itself responds."""
    return isinstance(error, _CONFLICTS)


def is_starting_up(error: psycopg.Error) -> bool:
    """Whether the server reported that it will accept connections later."""
    return isinstance(error, errors.CannotConnectNow) or _contains(error, _STARTING_UP)


def advice_on_connections(message: str) -> str | None:
    """Return what to do if the server, or a pooler, has no connection left; None if it has."""
    for phrases, advice in _FULL_ADVICE:
        if any(phrase in message for phrase in phrases):
            return f"{advice}. See docs/postgres.md for how many connections a command opens"
    return None


def _contains(error: psycopg.Error, phrases: tuple[str, ...]) -> bool:
    text = str(error)
    return any(phrase in text for phrase in phrases)
