"""Claims an update before its request is sent, and finishes it after the response.

The values to be sent are stored with the claim. So an update whose response was lost is sent again
with the same values, even if its row has changed meanwhile. A callback decides what an update
sends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from lcm_pipeline.model.profiles import AttemptResult, KnownProfile, ProfileUpdate, Values
from lcm_pipeline.transform.profiles import ValidatedUpdate
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.outbox.pushes import Push
from lcm_pipeline.warehouse.outbox.waiting import as_update, known_profiles
from lcm_pipeline.warehouse.queries import fetch_value, query
from lcm_pipeline.warehouse.redaction import redact_rows


@dataclass(frozen=True)
class Claim:
    """An update that is marked as sending. is_again: an earlier request may have been sent."""

    update_id: int
    client_id: int
    attempt_number: int
    values: Values
    is_again: bool


# Decides what an update sends.
Validate = Callable[[ProfileUpdate, KnownProfile], ValidatedUpdate]
# As in the database.
UpdateStatus = Literal["pending", "sending", "sent", "partial", "rejected", "failed"]


def claim_update(
    session: Session, push: Push, update_id: int, validate: Validate
) -> Claim | UpdateStatus | None:
    """Claim an update, or finish one that needs no request, in one transaction.

    Returns the claim, or the status of an update that was finished, or None if the update is not
    available: deleted, withdrawn, or locked by a session that edits it.
    """
    with (
        redact_rows(f"update {update_id}"),
        session.transaction(),
        session.cursor(row_factory=dict_row) as cursor,
    ):
        if fetch_value(session, "lock_update", {"update_id": update_id}) is None:
            return None
        row = cursor.execute(query("read_updates"), {"update_ids": [update_id]}).fetchone()
        assert row is not None  # noqa: S101 - it is locked
        if row["status"] == "sending":
            return _claim(cursor, push, row, row["sent_values"], None)
        known = known_profiles(session, [row["client_id"]]).get(row["client_id"], KnownProfile())
        validated = validate(as_update(row), known)
        if validated.errors:
            error = "; ".join(map(str, validated.errors))
            return _finish_unsent(cursor, push, update_id, "rejected", error)
        if not validated.values:
            return _finish_unsent(cursor, push, update_id, "sent")
        return _claim(cursor, push, row, validated.values, validated.before)


def finish_update(session: Session, claim: Claim, result: AttemptResult) -> UpdateStatus:
    """Record the result of an attempt; returns the new status of the update."""
    status = _status_after(claim, result)
    values = {
        "update_id": claim.update_id,
        "attempt_number": claim.attempt_number,
        "status": status,
        **vars(result),
    }
    with redact_rows(f"update {claim.update_id}"):
        session.execute(query("finish_update"), values)
    return status


def set_update_aside(
    session: Session, push: Push, update_id: int, error: str
) -> UpdateStatus | None:
    """Reject an update that cannot be claimed; one that may have been sent stays in `sending`."""
    values = {"push_id": push.push_id, "update_id": update_id, "error": error}
    return fetch_value(session, "set_update_aside", values)


def _status_after(claim: Claim, result: AttemptResult) -> UpdateStatus:
    if result.outcome == "unknown" or (result.outcome == "not sent" and claim.is_again):
        # This request, or an earlier one, may have reached the API: the same values go out again.
        return "sending"
    return "pending" if result.outcome == "not sent" else result.outcome


def _claim(
    cursor: psycopg.Cursor[Any],
    push: Push,
    row: dict[str, Any],
    values: Values,
    before: Values | None,
) -> Claim:
    """Mark an update as sending. before: None if claimed again, which keeps the first values."""
    is_again = before is None
    claimed = {
        "update_id": row["update_id"],
        "push_id": push.push_id,
        "values": Jsonb(values),
        "before": None if is_again else Jsonb(before),
        "field_names": sorted(values),
    }
    cursor.execute(query("claim_update"), claimed)
    cursor.execute(query("record_attempt"), claimed)
    return Claim(row["update_id"], row["client_id"], row["attempts"] + 1, values, is_again)


def _finish_unsent(
    cursor: psycopg.Cursor[Any], push: Push, update_id: int, status: UpdateStatus, error: str = ""
) -> UpdateStatus:
    """Finish an update without a request: rejected, or sent because nothing would change."""
    statement = query("reject_update" if status == "rejected" else "close_unchanged_update")
    cursor.execute(
        statement, {"push_id": push.push_id, "update_id": update_id, "error": error or None}
    )
    return status
