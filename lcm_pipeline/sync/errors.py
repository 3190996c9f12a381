"""What ends a sync before it is done, and what a reading that is no proof is.

    SyncFailed: the run stopped; what it proved is kept, and the message says what to do next
    Unproven: the responses about one client do not add up; the client stays pending

A client that fails does not end a sync: it stays pending, and the report counts it.
"""

from lcm_pipeline.model.errors import UserError


class SyncFailed(UserError):  # noqa: N818 - the name that the message completes
    """The run stopped. The message is for the user: what happened, and the next step."""


class Unproven(Exception):  # noqa: N818  # a verdict on the source's answers, not a defect
    """The answers could not be shown to be complete; the message says what did not add up."""
