"""The errors that end a sync early.

A client that fails does not end a sync: it stays pending, and the report counts it.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from lcm_pipeline.model.errors import UsageError, UserError, WorkStoppedError
from lcm_pipeline.model.windows import Window


class Advice(NamedTuple):
    """The end of a message that a stopped run raises.

    kept: what became of the tasks that were read. next_step: what to do when the cause is gone.
    """

    kept: str
    next_step: str


RESUME = Advice("What was read is kept", "run the same command again to go on")


class SyncError(UserError):
    """The run stopped; what it proved is stored. The message states the cause and the next step."""


class ServiceUnavailableError(SyncError):
    """The service gives no usable response; the same command may succeed later."""


class DayNotOverError(WorkStoppedError, UsageError):
    """The window has ended by our clock, and not by that of the service, which dates the rows."""

    def __init__(self, window: Window, read_at: datetime, ahead: timedelta, zone: ZoneInfo) -> None:
        ours = read_at.astimezone(zone)
        theirs = ours + ahead
        super().__init__(
            f"{window.last} has not ended by the clock of the service: it is"
            f" {theirs:%Y-%m-%d %H:%M} there, and {ours:%Y-%m-%d %H:%M} by the clock of this"
            f" machine ({zone}). A day whose rows still come cannot be complete, so nothing that"
            " was read now is used. Set the clock that is wrong, or wait for the end of the day,"
            " then run the command again"
        )
