"""Loads the rows of a file into the outbox, all of them or none.

A file whose rows are still waiting is not loaded a second time, so that the same command resumes
after a kill. Once all its rows are finished, the same file can be loaded again. A row with an
unreadable cell is stored as rejected, and counts for the push that begins next; a row without a
client cannot be stored.
"""

from psycopg.sql import SQL

from lcm_pipeline.model.profiles import REQUESTED_BY, UpdateFile
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import column_list, fetch_value
from lcm_pipeline.warehouse.redaction import redact_rows

_TYPES = {
    "client_id": "int8",
    "phone": "int8",
    "gender": "int2",
    "birthdate": "date",
    "allow_sms": "bool",
    "allow_email": "bool",
    "allow_email_online_cheque": "bool",
    "load_digest": "bytea",
}


def load_file(session: Session, file: UpdateFile) -> int:
    """Load a file in one transaction; returns how many rows, 0 if it is loaded already."""
    rows = [row for row in file.rows if file.client_of(row) is not None]
    columns = (*file.columns, "load_digest", "status", "last_error")
    statement = SQL(
        "/* tag: file-loaded */ copy outbox.profile_updates ({}) from stdin (format binary)"
    ).format(column_list(columns))
    with redact_rows("the file"), session.transaction():
        if is_loaded(session, file):
            return 0
        with session.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_TYPES.get(name, "text") for name in columns])
            for row in rows:
                if not row.errors:
                    copy.write_row((*row.cells, file.digest, "pending", None))
                    continue
                # An unreadable requester: the column's default.
                cells = (
                    session.info.user if name == REQUESTED_BY and cell is None else cell
                    for name, cell in zip(file.columns, row.cells, strict=True)
                )
                error = "; ".join(map(str, row.errors))
                copy.write_row((*cells, file.digest, "rejected", error))
    return len(rows)


def is_loaded(session: Session, file: UpdateFile) -> bool:
    """Whether rows of the file are waiting in the outbox already."""
    return bool(fetch_value(session, "is_load_waiting", {"digest": file.digest}))
