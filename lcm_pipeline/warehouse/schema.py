"""Whether `core` and `history` have the tables and columns that the migrations made.

A table that somebody renamed fails a sync in the middle, with an error about something else.
"""

from collections.abc import Iterator

from lcm_pipeline.model.tables import CORE_TABLES, NAME_DIMENSIONS
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.queries import fetch_column

_SYNCED = ("sync_run_id", "first_seen_at", "synced_at")
_HISTORY = ("valid_from", "valid_to")
# Tables that statements of their own fill, from the rows of another one.
_OTHERS = {
    "cards": (
        "card_number", "client_id", "out_number", "is_virtual", "card_type", "card_status", "extra",
    ),
    "goods": ("list_data_id", "code", "name", "image_url", "named_at", "extra"),
}  # fmt: skip


class ChangedSchemaError(WarehouseUnavailableError):
    """Somebody renamed or dropped a table or column; the message names it."""


def require_columns(session: Session, warehouse: Warehouse) -> None:
    """Raise ChangedSchemaError if a table or column of core or history is missing.

    Reads only the catalog, which every user may read; only for a schema of this version.
    """
    columns = sorted(columns_of_migrations())
    schemas, tables, names = (list(part) for part in zip(*columns, strict=True))
    values = {"schemas": schemas, "tables": tables, "names": names}
    if missing := fetch_column(session, "missing_columns", values):
        more = f" and {len(missing) - 1:,} more" if missing[1:] else ""
        verb = "is" if len(missing) == 1 else "are"
        raise ChangedSchemaError(
            f"The schema of {warehouse.location} differs from what the migrations made:"
            f" {missing[0]}{more} {verb} missing, renamed or dropped by somebody. Give it its"
            " name again (alter table … rename …), or restore it from a backup"
            " (docs/how-to/backup.md); lcm migrate does not bring it back. Then run the same"
            " command again"
        )


def columns_of_migrations() -> Iterator[tuple[str, str, str]]:
    """Schema, table and name of every column of core and history."""
    for table in CORE_TABLES:
        # A client is never deleted.
        deletion = () if table.name == "clients" else ("deleted_at",)
        columns = (*table.columns, *_SYNCED, *deletion)
        yield from (("core", table.name, name) for name in columns)
        if table.has_history:
            yield from (("history", table.name, name) for name in (*columns, *_HISTORY))
    dimensions = {d.name: (*d.columns, "named_at", "extra") for d in NAME_DIMENSIONS}
    for name, columns in {**dimensions, **_OTHERS}.items():
        yield from (("core", name, column) for column in (*columns, *_SYNCED))
