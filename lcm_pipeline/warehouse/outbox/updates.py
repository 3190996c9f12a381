"""The outbox: updates are claimed before a request leaves, and settled after its answer came.

What is sent is written down with the claim. So an update whose answer was lost goes out again with
the very same values, whatever became of its row meanwhile. What an update says is decided by a
callback: this module knows no rule about profiles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from lcm_pipeline.model.profiles import AttemptResult, KnownProfile, ProfileUpdate, Values
from lcm_pipeline.warehouse.outbox.pushes import Push
from lcm_pipeline.warehouse.outbox.waiting import as_update, known_profiles
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.redaction import redact_rows

# Whoever edits an update is not waited for.
_LOCKED = b" for update of updates skip locked"


@dataclass(frozen=True)
class Claim:
    """An update that is marked as sending: its request may leave. is_again: it may have before."""

    update_id: int
    client_id: int
    attempt_number: int
    values: Values
    is_again: bool


class Decision(Protocol):
    """What is to become of an update; see transform.profile_updates.Verdict."""

    @property
    def objections(self) -> Sequence[object]:
        """Why it is not sent."""

    @property
    def values(self) -> Values:
        """What is to be sent."""

    @property
    def before(self) -> Values:
        """What was known of it."""


Judge = Callable[[ProfileUpdate, KnownProfile], Decision]
UpdateStatus = str


def claim_update(
    session: psycopg.Connection, push: Push, update_id: int, judge: Judge
) -> Claim | UpdateStatus | None:
    """Claim an update, or settle one that needs no request, in one transaction.

    Returns the claim, or the status that the update ended with, or None when it is not to be had:
    gone, withdrawn, or locked by somebody who edits it.
    """
    with (
        redact_rows(f"update {update_id}"),
        session.transaction(),
        session.cursor(row_factory=dict_row) as cursor,
    ):
        row = cursor.execute(
            query("read_updates") + _LOCKED, {"update_ids": [update_id]}
        ).fetchone()
        if row is None:
            return None
        if row["status"] == "sending":
            return _claim(cursor, push, row, row["sent_values"], None)
        known = known_profiles(session, [row["client_id"]]).get(row["client_id"], KnownProfile())
        decision = judge(as_update(row), known)
        if decision.objections:
            error = "; ".join(map(str, decision.objections))
            return _settle(cursor, push, update_id, "rejected", error)
        if not decision.values:
            return _settle(cursor, push, update_id, "sent")
        return _claim(cursor, push, row, decision.values, decision.before)


def finish_update(
    session: psycopg.Connection, claim: Claim, answered: AttemptResult
) -> UpdateStatus:
    """Note what came of an attempt; returns the status that the update has then."""
    status = _status_after(claim, answered)
    values = {
        "update_id": claim.update_id,
        "attempt_number": claim.attempt_number,
        "status": status,
        **vars(answered),
    }
    with redact_rows(f"update {claim.update_id}"):
        session.execute(query("finish_update"), values)
    return status


def reject_update(
    session: psycopg.Connection, push: Push, update_id: int, error: str
) -> UpdateStatus | None:
    """Reject an update that cannot be claimed; one that may have been sent stays in `sending`."""
    values = {"push_id": push.push_id, "update_id": update_id, "error": error}
    row = session.execute(query("set_update_aside"), values).fetchone()
    return str(row[0]) if row else None


def _status_after(claim: Claim, answered: AttemptResult) -> UpdateStatus:
    if answered.outcome == "unknown" or (answered.outcome == "not sent" and claim.is_again):
        return "sending"
    return "pending" if answered.outcome == "not sent" else answered.outcome


def _claim(
    cursor: psycopg.Cursor[Any],
    push: Push,
    row: dict[str, Any],
    values: Values,
    before: Values | None,
) -> Claim:
    """Mark as sending. The values known before are those of the first claim."""
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


def _settle(
    cursor: psycopg.Cursor[Any], push: Push, update_id: int, status: UpdateStatus, error: str = ""
) -> UpdateStatus:
    statement = query("reject_update" if status == "rejected" else "close_unchanged_update")
    cursor.execute(
        statement, {"push_id": push.push_id, "update_id": update_id, "error": error or None}
    )
    return status
