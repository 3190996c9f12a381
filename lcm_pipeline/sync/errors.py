"""What ends a sync before it is done.

A client that fails does not end a sync: it stays pending, and the report counts it.
"""

from lcm_pipeline.model.errors import UserError


class SyncError(UserError):
    """The run stopped; what it proved is kept. The message says what happened and what to do."""
