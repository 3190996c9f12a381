"""Which errors are the user's to read, and the code that the process ends with."""

import sys

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.texts import tame

DONE, FAILED, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130


def exit_code_of(error: BaseException) -> int | None:
    """The exit code of an error that has a message for the user; None for a defect."""
    if isinstance(error, UserError):
        return error.exit_code
    # The driver is looked up, not imported: help and wrong words need none, and an error of the
    # driver's can only come from one that is loaded.
    driver = sys.modules.get("psycopg")
    if driver is not None and isinstance(error, driver.Error):
        # The role lacks a right, or may only read: a rerun does not help.
        denied = (driver.errors.InsufficientPrivilege, driver.errors.ReadOnlySqlTransaction)
        return USAGE if isinstance(error, denied) else FAILED
    return FAILED if isinstance(error, OSError) else None


def explain(message: str) -> None:
    """Print on standard error what went wrong."""
    print(f"lcm: {tame(message)}", file=sys.stderr)
