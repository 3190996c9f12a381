"""Which errors are the user's to read, and the code that the process ends with."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lcm_pipeline.model.errors import UsageError, UserError
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


def message_of(error: BaseException) -> str:
    """What to print of an error; of the driver's without what may quote a value of a row."""
    driver = sys.modules.get("psycopg")
    if driver is None or not isinstance(error, driver.Error):
        return str(error).strip()
    if isinstance(error, driver.DataError | driver.IntegrityError):
        rule = error.diag.constraint_name or error.diag.column_name or error.diag.table_name or ""
        return f"the database refused a value (SQLSTATE {error.sqlstate} {rule}".rstrip() + ")"
    return str(error).strip().partition("\nDETAIL:")[0]


class IdentityRefusedError(UsageError):
    """The service does not know who we are; the message names the settings."""


@contextmanager
def explained_identity() -> Iterator[None]:
    """Raise IdentityRefusedError in place of a UserError that a refused identity caused.

    The vendor has no ErrorCode of its own for it, so its words tell. A rerun does not help,
    whatever the error of the run says.
    """
    try:
        yield
    except UserError as error:
        # Such as: ErrorCode 2 «Токен не найден или устарел».
        if refused := _REFUSED.search(str(error)):
            for words, setting in _REFUSALS:
                if words.search(refused[0]):
                    raise IdentityRefusedError(
                        f"the service refuses {setting}: {refused[0]}. Correct it in .env or the"
                        " environment; what was read before is kept"
                    ) from error
        raise


_REFUSED = re.compile(r"ErrorCode \d+ «[^»]*»")
_REFUSALS = (
    (re.compile(r"токен|\btoken", re.IGNORECASE), "LCM_TOKEN"),
    (re.compile(r"оператор|\boperator", re.IGNORECASE), "LCM_OPERATOR"),
)


def explain(message: str) -> None:
    """Print on standard error what went wrong."""
    print(f"lcm: {tame(message)}", file=sys.stderr)
