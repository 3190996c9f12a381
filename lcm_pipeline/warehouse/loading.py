"""Puts the rows of a file into the outbox, all of them or none.

A file whose rows are still waiting is not loaded a second time: the same command again after a
kill goes on. Once all its rows are settled the same file is a new wish.
"""

import psycopg
from psycopg import sql

from lcm_pipeline.model.profiles import UpdateFile
from lcm_pipeline.warehouse.discretion import without_rows

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

_IS_WAITING = """
select exists (
    select from outbox.profile_updates
    where load_digest = %s and status in ('pending', 'sending')
)
"""


def load_file(session: psycopg.Connection, file: UpdateFile) -> int:
    """Put a file into the outbox in one transaction; answers how many rows, 0 when it is there."""
    with without_rows("the file"), session.transaction():
        if is_loaded(session, file):
            return 0
        _copy(session, file, (*file.columns, "load_digest"))
    return len(file.rows)


def is_loaded(session: psycopg.Connection, file: UpdateFile) -> bool:
    """Whether rows of the file are waiting in the outbox already."""
    row = session.execute(_IS_WAITING, (file.digest,)).fetchone()
    return bool(row and row[0])


def _copy(session: psycopg.Connection, file: UpdateFile, columns: tuple[str, ...]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("copy outbox.profile_updates ({}) from stdin (format binary)").format(names)
    with session.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([_TYPES.get(name, "text") for name in columns])
        for row in file.rows:
            copy.write_row((*row.cells, file.digest))
