"""The exit code and the message of each error that the user can act on."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lcm_pipeline.api.errors import refused_credential
from lcm_pipeline.files import DISK_FULL
from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.model.texts import database_message, strip_control_characters

# A folder or file of others, a read-only disk, a path through a file: a rerun does not help.
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR})
# A file or folder in the way, or a path that can exist nowhere.
_UNUSABLE = frozenset({errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})

DONE, FAILED, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130


def exit_code_of(error: BaseException) -> int | None:
    """Return the exit code of an error with a message for the user; None for a bug in lcm."""
    if isinstance(error, UserError):
        return error.exit_code
    # psycopg is looked up, not imported: an error of psycopg can only occur once it is loaded, and
    # the help and usage errors must not pay for its import.
    driver = sys.modules.get("psycopg")
    if driver is not None and isinstance(error, driver.Error):
        # The role lacks a privilege or may only read: running the command again does not help.
        denied = (driver.errors.InsufficientPrivilege, driver.errors.ReadOnlySqlTransaction)
        return USAGE if isinstance(error, denied) else FAILED
    if isinstance(error, OSError):
        is_usage = error.errno in _DENIED | _UNUSABLE or _is_without_folder(error)
        return USAGE if is_usage else FAILED
    return None


def _is_without_folder(error: OSError) -> bool:
    """Whether the current folder is gone: the system reports that without a name."""
    if error.errno != errno.ENOENT or error.filename is not None:
        return False
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def interrupt_message(*, is_resumable: bool) -> str:
    """Return the text to print after Ctrl-C. is_resumable: the same command continues."""
    if is_resumable:
        return "Interrupted. Completed work is kept: run the same command again to continue."
    return "Interrupted."


def has_interrupt(error: BaseException) -> bool:
    """Whether the error was raised while Ctrl-C was handled.

    Ctrl-C while a module is imported leaves it without the classes that an `except` names.
    """
    context = error.__context__
    return context is not None and (
        isinstance(context, KeyboardInterrupt) or has_interrupt(context)
    )


def message_of(error: BaseException, *, is_resumable: bool = False) -> str:
    """Return the text to print, without the parts of psycopg's messages that may quote rows.

    is_resumable: the command keeps its work, so that the same command continues.
    """
    driver = sys.modules.get("psycopg")
    if isinstance(error, OSError):
        return _message_of_os_error(error)
    if driver is None or not isinstance(error, driver.Error):
        return str(error).strip()
    # Imported here, as they import psycopg.
    from lcm_pipeline.warehouse.redaction import rule_of
    from lcm_pipeline.warehouse.transient_errors import advice_on_connections, is_transient

    if isinstance(error, driver.DataError | driver.IntegrityError):
        return f"the database refused a value ({rule_of(error)}), so this step stored nothing"
    text = database_message(str(error))
    # psycopg counts a transaction that the server has ended as an internal error, not operational.
    may_pass = isinstance(error, driver.OperationalError) or is_transient(error)
    if may_pass and exit_code_of(error) == FAILED:
        if advice := advice_on_connections(text):
            text += f". {advice}"
        if is_resumable:
            return f"{text}. What was done is kept: run the same command again to go on"
        return f"{text}. Run the same command again"
    return text


def _message_of_os_error(error: OSError) -> str:
    """Return which file could not be used, why, and what to do."""
    if error.filename is None or error.strerror is None:
        if error.errno in DISK_FULL:
            # A write does not name its file.
            return (
                f"not everything could be written ({error.strerror}): free some space, then run the"
                " same command again"
            )
        if _is_without_folder(error):
            return "the current folder was removed: cd to a folder, then run the same command again"
        return str(error).strip()
    path = os.path.abspath(os.fsdecode(error.filename))  # noqa: PTH100 - resolves no links
    if error.errno in _DENIED:
        advice = "give a folder that you may write to, as LCM_HOME, as an option or by cd"
    elif error.errno in _UNUSABLE:
        advice = "give another path, as LCM_HOME, as an option or by cd"
    elif error.errno in DISK_FULL:
        advice = "free some space, then run the same command again"
    else:
        advice = "correct that, then run the same command again"
    return f"{path} cannot be used ({error.strerror}): {advice}"


class CredentialsRefusedError(UsageError):
    """The service refuses our credentials; the message names the setting to correct."""


@contextmanager
def explaining_refused_credentials() -> Iterator[None]:
    """Raise CredentialsRefusedError instead of a UserError that a refused credential caused.

    A rerun does not help, whatever the original error advises.
    """
    try:
        yield
    except UserError as error:
        if refused := refused_credential(str(error)):
            raise CredentialsRefusedError(
                f"the service refuses {refused.setting}: {refused.response}. Correct it in .env or"
                " the environment; data that was read before is kept"
            ) from error
        raise


def print_message(message: str) -> None:
    """Print a message for the user on standard error."""
    print(f"lcm: {strip_control_characters(message)}", file=sys.stderr)
