"""Disclosure of one person: a JSON document with all rows that the warehouse stores of a client.

Postgres writes the rows as JSON: columns in their order, numbers exact, times with their offset,
bytes in hexadecimal. They are streamed, so that memory does not grow with them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, BinaryIO

import psycopg
from psycopg.sql import Composed, Identifier

from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.model.texts import database_message
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.migrations import require_current_schema
from lcm_pipeline.warehouse.privacy.client_rows import (
    ClientColumn,
    client_columns,
    is_known,
    other_tables,
)
from lcm_pipeline.warehouse.privacy.keys import load_forgotten
from lcm_pipeline.warehouse.queries import composed, fetch_value, query

# Where a column for a client is missing, or does not show all rows of the person.
_OTHER_STATEMENTS = {
    "outbox.attempts": "disclosed_attempts",
    "sync.forgotten_clients": "disclosed_erasures",
    "sync.quarantine": "disclosed_quarantine",
}
_BATCH = 1000


@dataclass(frozen=True)
class Disclosure:
    """What was written: how many tables and rows.

    other_tables: those of somebody else that list the client too, or may do so.
    """

    tables: int
    rows: int
    other_tables: list[str]


@dataclass(frozen=True)
class _Table:
    """A table of the document, and the statement that reads the client's rows as JSON."""

    name: str
    description: str
    is_readable: bool
    statement: Composed | bytes


def disclose(
    warehouse: Warehouse, client_id: int, file: BinaryIO, keys: Sequence[bytes]
) -> Disclosure:
    """Write all rows of a client, of one snapshot, as one JSON document in UTF-8.

    Nothing is written for a client without rows, unless it was erased. keys: those with which
    persons were erased. Raises UsageError for an unknown client, WarehouseUnavailableError if the
    user may not read all tables, ForgottenKeyError.
    """
    try:
        with warehouse.connect(application_name="lcm disclose") as session:
            session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            session.read_only = True
            require_current_schema(session, warehouse)
            return _disclose(warehouse, session, client_id, file, keys)
    except psycopg.errors.InsufficientPrivilege as error:
        raise _incomplete(warehouse, database_message(str(error))) from error
    except psycopg.errors.UndefinedTable as error:
        raise UserError(
            "a table was dropped while its rows were read, as by a sync that has ended: run the"
            " same command again"
        ) from error


def _disclose(
    warehouse: Warehouse,
    session: Session,
    client_id: int,
    file: BinaryIO,
    keys: Sequence[bytes],
) -> Disclosure:
    columns = client_columns(session)
    own = [column for column in columns if column.is_of_warehouse]
    tables = _tables(session, own)
    if unreadable := [table.name for table in tables if not table.is_readable]:
        raise _incomplete(warehouse, f"it may not read {', '.join(unreadable)}")
    hashes = load_forgotten(session, keys).hashes_of(client_id)
    values: dict[str, Any] = {"client_id": client_id, "client_hashes": hashes}
    forgotten_at = fetch_value(session, "receipt_of_client", values)
    others = other_tables(session, client_id, columns)
    if forgotten_at is None and not is_known(session, client_id, own):
        listed = f" It is or may be in tables of others: {', '.join(others)}." if others else ""
        raise UsageError(
            f"client {client_id} is not known: the warehouse stores nothing of it.{listed} To find"
            " the client's id by a phone or card, run lcm sql and look it up in core.clients"
            " (phone) or core.cards (card_number, out_number)"
        )
    head = {
        "client_id": client_id,
        "made_at": datetime.now(UTC).isoformat("T", "seconds"),
        "warehouse": warehouse.location,
        "forgotten_at": forgotten_at and forgotten_at.astimezone(UTC).isoformat("T", "seconds"),
        "phones_and_cards_are_hashed": session.execute(query("pseudonym_keys")).rowcount > 0,
        "other_tables": others,
    }
    values["pattern"] = fetch_value(session, "pattern_of_numbers", values)
    text = json.dumps(head, ensure_ascii=False, indent=2).removesuffix("\n}")
    file.write(f'{text},\n  "tables": ['.encode())
    counts: list[int] = []
    for table in tables:
        count = _write_table(session, table, values, file, is_first=not counts)
        counts += [count] if count else []
    file.write(b"\n  ]\n}\n")
    return Disclosure(len(counts), sum(counts), others)


def _tables(session: Session, columns: Sequence[ClientColumn]) -> list[_Table]:
    """The tables that may have rows of the client, by name."""
    tables = {}
    for name, found in groupby(columns, lambda column: column.table_name):
        listed = list(found)
        statement = composed(
            "disclosed_rows",
            table=Identifier(listed[0].schema, listed[0].table),
            client_columns=[column.name for column in listed],
        )
        tables[name] = _Table(name, listed[0].description, listed[0].is_readable, statement)
    described = session.execute(query("described_tables"), {"tables": list(_OTHER_STATEMENTS)})
    for name, description, is_readable in described.fetchall():
        other = query(_OTHER_STATEMENTS[name])
        tables[name] = _Table(name, description, is_readable, other)
    return [tables[name] for name in sorted(tables)]


def _write_table(
    session: Session,
    table: _Table,
    values: Mapping[str, Any],
    file: BinaryIO,
    *,
    is_first: bool,
) -> int:
    """Write the rows of the client in a table, unless there are none; returns their number."""
    count = 0
    with session.cursor(name="disclosed") as cursor:
        cursor.itersize = _BATCH
        cursor.execute(table.statement, values)
        for count, (row,) in enumerate(cursor, 1):
            if count == 1:
                name, comment = (
                    json.dumps(text, ensure_ascii=False) for text in (table.name, table.description)
                )
                begin = "" if is_first else ","
                file.write(
                    f'{begin}\n    {{\n      "name": {name},\n      "comment": {comment},\n'
                    '      "rows": ['.encode()
                )
            file.write(f"{',' if count > 1 else ''}\n        {row}".encode())
    if count:
        file.write(b"\n      ]\n    }")
    return count


def _incomplete(warehouse: Warehouse, reason: str) -> WarehouseUnavailableError:
    return WarehouseUnavailableError(
        f"The warehouse {warehouse.location} does not let this user read everything about a client,"
        f" so nothing was written: {reason}. Make the user of LCM_DATABASE_URL a member of"
        " lcm_loader; if it is one, lcm migrate grants what is missing"
    )
