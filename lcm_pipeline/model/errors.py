"""Errors whose message is for the user, and the exit code of the process."""

from typing import ClassVar


class UserError(Exception):
    """An error that the user can act on.

    The message says what was tried, what came back and what to do next. `lcm` prints it and exits
    with exit_code. Any other exception is a defect and shows its traceback.
    """

    exit_code: ClassVar[int] = 1


class WorkStoppedError(UserError):
    """It concerns no single client or update: the sync or the push has to stop."""


class PartialSuccessError(UserError):
    """The work is done, but something needs attention."""

    exit_code: ClassVar[int] = 3


class UsageError(UserError):
    """A setting, an option, a file or a database cannot be used as it is."""

    exit_code: ClassVar[int] = 2
