"""Undoes a push: finds the fields that can be restored, and stores the updates that restore them.

A field is restored if its value before the push is known and no later push has changed it. The undo
of an undo is an ordinary undo.
"""

from dataclasses import dataclass, field

from psycopg.types.json import Jsonb

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.profiles import Value
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import fetch_value, query
from lcm_pipeline.warehouse.redaction import redact_rows


class UndoError(UsageError):
    """The push cannot be undone; the message says why."""


@dataclass(frozen=True)
class Obstacle:
    """A field that is not restored, and the reason."""

    client_id: int
    column: str
    reason: str


@dataclass
class Undo:
    """The values that an undo restores, by client, and the fields that it cannot restore.

    is_resumed: the updates of an earlier, interrupted undo are still waiting.
    """

    push_id: int
    values: dict[int, dict[str, Value]] = field(default_factory=dict, repr=False)
    obstacles: list[Obstacle] = field(default_factory=list)
    is_resumed: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self.values) or self.is_resumed


def find_undo(session: Session, push_id: int) -> Undo:
    """Find what the undo of a push would restore; raises UndoError if there is no such push."""
    values = {"push_id": push_id}
    if session.execute(query("push_status"), values).fetchone() is None:
        raise UndoError(
            f"there is no push {push_id}: their numbers are listed by"
            " lcm sql --as-owner -c 'table outbox.pushes'"
        )
    undo = Undo(push_id, is_resumed=bool(fetch_value(session, "is_undo_waiting", values)))
    rows = () if undo.is_resumed else session.execute(query("find_undo"), values)
    for client_id, column, _, value, obstacle in rows:
        if obstacle is None:
            undo.values.setdefault(client_id, {})[column] = value
        else:
            undo.obstacles.append(Obstacle(client_id, column, obstacle))
    return undo


def store_undo(session: Session, push_id: int) -> Undo:
    """Store the updates of an undo in the outbox, unless those of an interrupted undo are there."""
    with redact_rows(f"the undo of push {push_id}"), session.transaction():
        undo = find_undo(session, push_id)
        values = {
            "push_id": push_id,
            "requested_by": f"undo of push {push_id}",
            "client_ids": list(undo.values),
            "values": [Jsonb(values) for values in undo.values.values()],
        }
        if undo.values:
            session.execute(query("store_undo"), values)
    return undo
