"""Reads the waiting updates and what is known of their clients, without locks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from lcm_pipeline.model.profiles import KnownProfile, ProfileUpdate, Value, Values
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.outbox.pushes import Push, PushReport
from lcm_pipeline.warehouse.queries import fetch_column, fetch_rows, fetch_value, query

_NO_LIMIT = 2**63 - 1


@dataclass(frozen=True)
class WaitingUpdate:
    """An update that a push may take.

    seconds_since: since its last request can have been sent without a response; None if there is
    none.
    """

    update_id: int
    client_id: int
    seconds_since: float | None = None


@dataclass(frozen=True)
class StuckUpdate:
    """An update that waits for another attempt. behind: later updates of the same client."""

    update_id: int
    client_id: int
    status: str
    attempts: int
    last_error: str | None
    behind: int


def next_updates(session: Session, push: Push, *, after: int, most: int) -> list[WaitingUpdate]:
    """The next updates that the push may take, oldest first, with ids above `after`."""
    values = {**vars(push), "after": after, "most": most}
    return fetch_rows(session, WaitingUpdate, "next_updates", values)


def count_waiting(session: Session, push: Push) -> int:
    """How many updates the push may still take."""
    return int(fetch_value(session, "count_waiting", vars(push)) or 0)


def read_waiting(
    session: Session, *, after: int, most: int
) -> list[tuple[ProfileUpdate, Values | None]]:
    """Waiting updates, oldest first, each with the values of a request whose outcome is unknown."""
    values = {"after": after, "last_update_id": _NO_LIMIT, "undo_of": None, "most": most}
    ids = fetch_column(session, "next_updates", values)
    with session.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query("read_updates"), {"update_ids": ids}).fetchall()
    return [(as_update(row), row["sent_values"]) for row in rows]


def clients_in_roster(session: Session, client_ids: Sequence[int]) -> set[int]:
    """Those of the clients that are in the roster."""
    return set(fetch_column(session, "clients_in_roster", {"client_ids": list(client_ids)}))


def stuck_updates(session: Session, push: PushReport, most: int) -> list[StuckUpdate]:
    """Updates that a push left for another attempt, and how many later ones each holds back."""
    values = {"undo_of": push.undo_of, "most": most}
    return fetch_rows(session, StuckUpdate, "stuck_updates", values)


def known_profiles(session: Session, client_ids: Sequence[int]) -> dict[int, KnownProfile]:
    """What is known of the profiles of some clients, by client."""
    last_sent: dict[int, dict[str, Value]] = {}
    before: dict[int, dict[str, Value]] = {}
    rows = session.execute(query("known_values"), {"client_ids": list(client_ids)}).fetchall()
    for client_id, column, value, is_last_sent in rows:
        before.setdefault(client_id, {})[column] = value
        if is_last_sent:
            last_sent.setdefault(client_id, {})[column] = value
    return {c: KnownProfile(last_sent.get(c, {}), known) for c, known in before.items()}


def as_update(row: dict[str, Any]) -> ProfileUpdate:
    """Convert a row of the query read_updates."""
    return ProfileUpdate(
        row["update_id"],
        row["client_id"],
        row["requested_values"],
        row["is_known_client"],
        frozenset(row["overtaken"]),
    )
