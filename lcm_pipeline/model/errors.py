"""Errors whose message is for the user, and the code that the process ends with."""

from typing import ClassVar


class UserError(Exception):
    """An error that the user can act on: the message says what was tried, what came back, what
    to do next.

    `lcm` prints the message and ends with exit_code. An exception of another kind is a defect and
    shows its traceback.
    """

    exit_code: ClassVar[int] = 1


class UsageError(UserError):
    """A setting, an option, a file or a database that cannot be used as it is."""

    exit_code: ClassVar[int] = 2
