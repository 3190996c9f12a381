"""Where the rows of one client are: each column for a client, in every schema of the warehouse.

Erasure and disclosure read the same list, so that neither forgets a table. Somebody may have tables
of their own in these schemas; those are listed too, and marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.sql import Composed, Identifier

from lcm_pipeline.model.errors import PartialSuccessError
from lcm_pipeline.model.tables import CORE_TABLES
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import composed, query

_FACTS = (
    "core.cards", "outbox.profile_updates",
    *(f"core.{table.name}" for table in CORE_TABLES),
    *(f"history.{table.name}" for table in CORE_TABLES if table.has_history),
)  # fmt: skip


class OtherTablesError(PartialSuccessError):
    """Tables that are not the warehouse's list the client, or may do so."""


@dataclass(frozen=True)
class ClientColumn:
    """A column for the client, of a table in a schema of the warehouse.

    description: the comment of the table. is_expired: of a month that LCM_RETENTION_MONTHS no
    longer holds, and that is to be dropped. is_of_warehouse: not made by somebody else in a schema
    of the warehouse. is_refreshed: of a materialized view of the warehouse. is_readable: by this
    user; all columns of a table of the warehouse, of another one only this column.
    """

    schema: str
    table: str
    name: str
    description: str
    is_expired: bool
    is_of_warehouse: bool
    is_refreshed: bool
    is_readable: bool

    @property
    def table_name(self) -> str:
        """The table with its schema, for people."""
        return f"{self.schema}.{self.table}"

    def compose(self, query_name: str) -> Composed:
        """A statement for this table and column."""
        return composed(
            query_name,
            table=Identifier(self.schema, self.table),
            client_column=Identifier(self.name),
        )


def client_columns(session: Session) -> list[ClientColumn]:
    """All of them, by schema, table and column; of a table with partitions only the table."""
    found = session.execute(query("client_columns"), {"facts": list(_FACTS)}).fetchall()
    return [ClientColumn(*row) for row in found]


def is_known(session: Session, client_id: int, columns: Sequence[ClientColumn]) -> bool:
    """Whether a table has rows of the client, also one that an unfinished run has staged."""
    values = {"client_id": client_id}
    return any(
        session.execute(column.compose("has_client"), values).fetchone() == (True,)
        for column in columns
    )


def other_tables(session: Session, client_id: int, columns: Sequence[ClientColumn]) -> list[str]:
    """The tables of others that list the client; one that may not be read is marked as such."""
    values = {"client_id": client_id}
    listed: dict[str, None] = {}
    for column in columns:
        if column.is_of_warehouse:
            continue
        if not column.is_readable:
            listed[f"{column.table_name} (which this user may not read)"] = None
        elif session.execute(column.compose("other_has_client"), values).fetchone() == (True,):
            listed[column.table_name] = None
    return list(listed)
