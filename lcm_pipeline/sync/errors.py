"""What ends a sync before it is done.

    SyncFailed: the run stopped; what it proved is kept, and the message says what to do next

A client that fails does not end a sync: it stays pending, and the report counts it.
"""

from lcm_pipeline.model.errors import UserError


class SyncFailed(UserError):  # noqa: N818 - the name that the message completes
    """The run stopped. The message is for the user: what happened, and the next step."""
