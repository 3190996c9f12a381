"""Taking a push back: which fields can be put back, and the updates that do it.

A field is put back when its value before the push is known and nobody has changed it since
through us. The undo of an undo is an ordinary undo.
"""

from dataclasses import dataclass, field

import psycopg
from psycopg.types.json import Jsonb

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.profiles import Value
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.redaction import redact_rows


class UndoError(UsageError):
    """There is nothing that could be taken back; the message says why."""


@dataclass(frozen=True)
class Obstacle:
    """A field that stays as it is, and why."""

    client_id: int
    column: str
    reason: str


@dataclass
class Undo:
    """What an undo puts back, by client, and what it cannot. is_waiting: updates are to be sent."""

    push_id: int
    values: dict[int, dict[str, Value]] = field(default_factory=dict, repr=False)
    obstacles: list[Obstacle] = field(default_factory=list)
    is_resumed: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self.values) or self.is_resumed


def find_undo(session: psycopg.Connection, push_id: int) -> Undo:
    """What an undo of a push comes to; raises UndoError for a push that was never made."""
    values = {"push_id": push_id}
    if session.execute(query("push_status"), values).fetchone() is None:
        raise UndoError(f"there is no push {push_id}: see outbox.pushes")
    is_waiting = session.execute(query("is_undo_waiting"), values).fetchone() == (True,)
    undo = Undo(push_id, is_resumed=is_waiting)
    rows = () if undo.is_resumed else session.execute(query("find_undo"), values)
    for client_id, column, _, value, obstacle in rows:
        if obstacle is None:
            undo.values.setdefault(client_id, {})[column] = value
        else:
            undo.obstacles.append(Obstacle(client_id, column, obstacle))
    return undo


def store_undo(session: psycopg.Connection, push_id: int) -> Undo:
    """Put the opposite updates into the outbox; those of an undo that was cut off are there."""
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
