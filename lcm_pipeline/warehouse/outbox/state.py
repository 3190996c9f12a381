"""The state of the outbox, for sensors and checks."""

from dataclasses import dataclass

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import fetch_row, fetch_value


@dataclass(frozen=True)
class OutboxState:
    """The waiting updates, and how the last push ended; last_push_id is None before the first.

    sending: how many of the waiting updates may have been sent. newest_id: the newest waiting
    update. seconds_since: since the last push ended.
    """

    waiting: int
    sending: int
    newest_id: int
    is_pushing: bool
    last_push_id: int | None
    last_status: str | None
    last_update_id: int
    seconds_since: float | None

    @property
    def stuck(self) -> int:
        """Updates whose response was lost, while no push is running that would send them again."""
        return 0 if self.is_pushing else self.sending


def read_outbox(warehouse: Warehouse) -> OutboxState | None:
    """Read the state of the outbox; None before the migration that creates outbox.pushes."""
    with warehouse.connect(autocommit=True, application_name="lcm outbox") as session:
        if not fetch_value(session, "has_pushes"):
            return None
        return fetch_row(session, OutboxState, "outbox_state")
