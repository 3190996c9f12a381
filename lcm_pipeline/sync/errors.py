"""The errors that end a sync early.

A client that fails does not end a sync: it stays pending, and the report counts it.
"""

from typing import NamedTuple

from lcm_pipeline.model.errors import UserError


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
