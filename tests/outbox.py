"""Shared helpers for tests of the write-back: a roster, updates in the outbox, their results."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier
from psycopg.types.string import TextLoader

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.push.push import WriteBack
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse

# Retries do not wait, and a request never outlives its connection by much.
HASTY = RetryPolicy(first_wait=0.001, longest_wait=0.002, longest_retry_after=0.002)
SERVICE_TIMEOUT_SECONDS = 0.05

Update = tuple[int, dict[str, Any]]


def enrol(warehouse: Warehouse, source: RunningSimulator, phones: bool = False) -> list[int]:
    """Add all clients of a programme to the roster; returns their ids in order."""
    profiles = sorted(source.world.profile_rows(), key=lambda row: row["Client"])
    with warehouse.connect() as session:
        session.cursor().executemany(
            "insert into core.clients (client_id, phone, sync_run_id, first_seen_at, synced_at)"
            " values (%s, %s, 1, now(), now())",
            [(row["Client"], row["Phone"] if phones else None) for row in profiles],
        )
    return [row["Client"] for row in profiles]


def ask_for(warehouse: Warehouse, updates: Sequence[Update]) -> list[int]:
    """Insert updates into the outbox; returns their ids."""
    ids = []
    with warehouse.connect() as session:
        for client_id, fields in updates:
            names = SQL(", ").join(map(Identifier, ("client_id", *fields)))
            marks = SQL(", ").join([SQL("%s")] * (1 + len(fields)))
            row = session.execute(
                SQL(
                    "insert into outbox.profile_updates ({}) values ({}) returning update_id"
                ).format(names, marks),
                (client_id, *fields.values()),
            ).fetchone()
            assert row is not None
            ids.append(row[0])
    return ids


def outbox(warehouse: Warehouse, what: str = "profile_updates") -> list[dict[str, Any]]:
    """A table of the outbox, oldest first."""
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        # A date column may contain a date outside the range of Python's `date`.
        cursor.adapters.register_loader("date", TextLoader)
        return cursor.execute(
            SQL("select * from {} order by 1, 2").format(Identifier("outbox", what))
        ).fetchall()


def statuses(warehouse: Warehouse) -> list[str]:
    return [row["status"] for row in outbox(warehouse)]


def applied(source: RunningSimulator, client_id: int | None = None) -> list[dict[str, Any]]:
    """The updates that the source applied, in order, as the caller sent them."""
    return [
        {name: value for name, value in update.items() if name not in ("Client", "ErrorCode")}
        | {"Client": update["Client"]}
        for update in source.world.profiles.updates
        if client_id in (None, update["Client"]) and update["ErrorCode"] == 0
    ]


def profile(source: RunningSimulator, client_id: int) -> dict[str, Any]:
    return next(row for row in source.world.profile_rows() if row["Client"] == client_id)


def hasty(settings: Settings) -> LoyaltyApi:
    return LoyaltyApi.from_settings(settings, policy=HASTY)


def write_back(settings: Settings, warehouse: Warehouse, **changes: Any) -> WriteBack:
    """A write-back without waits."""
    fields = {"open_api": hasty, "service_timeout_seconds": SERVICE_TIMEOUT_SECONDS}
    return WriteBack(settings, warehouse, **{**fields, **changes})
