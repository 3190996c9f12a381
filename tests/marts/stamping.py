"""Backdates what a sync has just written to the moment that it simulates."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.partitions import ensure_partitions

STAMPS = {
    "sync.runs": ("started_at", "finished_at"),
    "sync.client_state": ("read_at",),
    "sync.registration_days": ("read_at",),
    "core.registrations": ("first_seen_at", "synced_at"),
    "core.operations": ("first_seen_at", "synced_at", "deleted_at"),
    "core.leads": ("first_seen_at", "synced_at", "deleted_at"),
    "history.operations": ("valid_from", "valid_to"),
    "history.leads": ("valid_from", "valid_to"),
}


def stamp(
    warehouse: Warehouse,
    columns_of: Mapping[str, tuple[str, ...]],
    began: datetime,
    *,
    moment: datetime,
    month: date,
) -> None:
    """Backdate all rows written since `began`; creates the partition of the month in `history`."""
    with warehouse.connect(autocommit=True) as session:
        for table in ("operations", "leads"):
            ensure_partitions(session, "history", table, [month])
        for table, columns in columns_of.items():
            for column in columns:
                session.execute(
                    SQL("update {} set {} = %s where {} >= %s").format(
                        Identifier(*table.split(".")), Identifier(column), Identifier(column)
                    ),
                    (moment + timedelta(minutes=column == "finished_at"), began),
                )
