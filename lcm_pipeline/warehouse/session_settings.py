"""The settings of every session, whatever its role, database or environment sets.

Defaults of the role (`alter role … set`), the database and libpq (PGDATESTYLE, PGTZ …) are
overridden by SQL right after connecting. Start-up options do not suffice: poolers refuse them, and
PGDATESTYLE and PGTZ take precedence over them.
"""

import re

import psycopg

from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.queries import query

# Needed before the SQL runs: a short timeout of the role would cancel it, libpq checks the second
# for target_session_attrs=read-write, and a standby refuses every statement at serializable.
STARTUP_OPTIONS = (
    "-c statement_timeout=0 -c default_transaction_read_only=off"
    r" -c default_transaction_isolation=read\ committed"
)

# With other values rows would be misread or miswritten; options in the address cannot set them.
_REQUIRED = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "search_path": "public",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "row_security": "on",
    "session_replication_role": "origin",
    "restrict_nonsystem_relation_kind": "",
    "exit_on_error": "off",
    "client_min_messages": "notice",
}
# Options in the address take precedence over these.
_ADJUSTABLE = {
    "statement_timeout": "0",
    "lock_timeout": "5min",
    "idle_in_transaction_session_timeout": "30min",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    # JIT compilation costs seconds in each refresh of the marts, and gains nothing.
    "jit": "off",
    # After a crash a push must still know which updates it was sending.
    "synchronous_commit": "on",
    # Without these the server would hold the locks of a dead client machine for two hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}

_OPTION = re.compile(r"(?:-c\s*|--)([\w.-]+)\s*=")


def apply_settings(session: psycopg.Connection, options: str = "") -> None:
    """Apply the settings to an autocommit session. options: the `options` of the address.

    Raises WarehouseUnavailableError, with the statements to run, if the user may not change one.
    """
    given = {name.replace("-", "_").lower() for name in _OPTION.findall(options)}
    adjustable = {name: value for name, value in _ADJUSTABLE.items() if name not in given}
    wanted = {**_REQUIRED, **adjustable}
    try:
        _apply(session, wanted)
    except psycopg.errors.InsufficientPrivilege as error:
        raise WarehouseUnavailableError(_refusal(session, wanted)) from error


def _apply(session: psycopg.Connection, wanted: dict[str, str]) -> None:
    values = {"names": list(wanted), "wanted": list(wanted.values())}
    session.execute(query("apply_settings"), values, prepare=False)


def _refusal(session: psycopg.Connection, wanted: dict[str, str]) -> str:
    refused = []
    for name, value in wanted.items():
        try:
            _apply(session, {name: value})
        except psycopg.errors.InsufficientPrivilege:
            refused.append(name)
    user, database = session.execute(query("names_of_session")).fetchone() or ("", "")
    statements = [
        f"\n  alter role {user} in database {database} set {name} = '{wanted[name]}';"
        for name in refused
    ]
    return (
        f"The user {user} of LCM_DATABASE_URL has a setting that lcm cannot work with, and may not"
        f" change it ({', '.join(refused)}). Have a superuser run:"
        f"{''.join(statements)}"
    )
