"""The errors that end a sync early.

A client that fails does not end a sync: it stays pending, and the report counts it.
"""

from lcm_pipeline.model.errors import UserError


class SyncError(UserError):
    """The run stopped; what it proved is stored. The message states the cause and the next step."""


class ServiceUnavailableError(SyncError):
    """The service gives no usable response; the same command may succeed later."""
