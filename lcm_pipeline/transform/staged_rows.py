"""Builds what a reading stages: its rows one by one, each stored once or set aside with a reason.

This is what all feeds share; the modules of the feeds map fields to columns. Rows are identified by
the identity of their table, without the day: a row that appears twice with different times is a
conflict, and the later one is set aside.
"""

from collections.abc import Callable, Iterable
from datetime import date
from functools import cache
from operator import itemgetter
from typing import TypeVar

import msgspec

from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.model.tasks import MAX_UNKNOWN_FIELDS, BadRow, StagedRows
from lcm_pipeline.transform.rows import read_row
from lcm_pipeline.transform.values import InvalidValueError

RowT = TypeVar("RowT", bound=msgspec.Struct)
Record = tuple[object, ...]


class StagedRowsBuilder:
    """Gathers the records and the bad rows of one client, or of one registration day."""

    def __init__(self, client_id: int | None = None, *, day: date | None = None) -> None:
        self._client_id = client_id
        self._day = day
        self._records: dict[str, dict[object, Record]] = {}
        self._bad_rows: dict[tuple[str, int | None, bytes, str], BadRow] = {}
        self._unknown_fields: set[str] = set()
        self._omitted_tables: set[str] = set()

    def add_rows(
        self,
        table: CoreTable,
        rows: Iterable[SourceRow],
        row_type: type[RowT],
        to_record: Callable[[RowT, str | None], Record],
        *,
        context: str = "",
        owner: Callable[[SourceRow], int | None] | None = None,
    ) -> None:
        """Add the records of a table that rows are transformed to.

        owner: finds the client of a row that is set aside.
        """
        stored = self._records.setdefault(table.name, {})
        identity_of = _identity_getter(table)
        for row in rows:
            try:
                payload, extra = read_row(row.raw, row_type)
                record = to_record(payload, extra.text if extra else None)
                _store_once(stored, identity_of(record), record)
            except InvalidValueError as error:
                client_id = owner(row) if owner else self._client_id
                self.quarantine(table, row, str(error), context=context, client_id=client_id)
            else:
                room = MAX_UNKNOWN_FIELDS - len(self._unknown_fields)
                if extra and room > 0:
                    self._unknown_fields.update(sorted(extra.names)[:room])

    def add_record(self, table: CoreTable, record: Record) -> None:
        """Add a record that has no row of its own; a later one replaces it."""
        self._records.setdefault(table.name, {})[_identity_getter(table)(record)] = record

    def omit(self, *tables: CoreTable) -> None:
        """Record that the response contains nothing about some tables."""
        self._omitted_tables.update(table.name for table in tables)

    def quarantine(
        self,
        table: CoreTable,
        row: SourceRow,
        reason: str,
        *,
        context: str = "",
        client_id: int | None = None,
    ) -> None:
        """Put a row into quarantine, once however often it occurs."""
        client = self._client_id if client_id is None else client_id
        # Postgres stores no NUL, and bytes that are not UTF-8 must stay readable.
        raw = row.raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        bad_row = BadRow(table.name, client, row.digest, reason, raw, context, self._day)
        self._bad_rows.setdefault((table.name, client, row.digest, context), bad_row)

    def finish(self) -> StagedRows:
        """Return what was gathered, without empty tables."""
        return StagedRows(
            {name: list(stored.values()) for name, stored in self._records.items() if stored},
            list(self._bad_rows.values()),
            frozenset(self._unknown_fields),
            frozenset(self._omitted_tables),
        )


def _store_once(stored: dict[object, Record], identity: object, record: Record) -> None:
    earlier = stored.setdefault(identity, record)
    if earlier is not record and earlier != record:
        raise InvalidValueError(
            "the row: its key occurred before in this reading, with other content"
        )


@cache
def _identity_getter(table: CoreTable) -> Callable[[Record], object]:
    return itemgetter(*(table.staging_columns.index(name) for name in table.identity))
