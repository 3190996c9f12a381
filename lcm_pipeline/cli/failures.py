"""Which errors are the user's to read, and the exit code each ends with.

Errors are recognised by name, so that no library is imported just to tell its errors apart.
"""

import sys

DONE, FAILED, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130


class _Failures:
    """Errors by the name of one of their classes."""

    _codes = {  # noqa: RUF012 - a constant
        "SettingsError": USAGE,
        "ConfigurationError": USAGE,
        "WarehouseUnavailable": USAGE,
        "WindowRefused": USAGE,
        "ReportRefused": USAGE,
        "DagsterStorageUnavailable": USAGE,
        "UpdateFileRefused": USAGE,
        "UndoRefused": USAGE,
        "BiLoginRefused": USAGE,
        "SupersetUnavailable": USAGE,
        "DefinitionError": USAGE,
        "MigrationError": FAILED,
        "RunFailed": FAILED,
        "ChecksFailed": FAILED,
        "SyncFailed": FAILED,
        "PushRunning": FAILED,
        "RowRefused": FAILED,
        "LoyaltyApiError": FAILED,
        "psycopg.Error": FAILED,
        "OSError": FAILED,
    }

    def code_of(self, error: BaseException) -> int | None:
        """The exit code of an error that has a message for the user; None for a defect."""
        for kind in type(error).__mro__:
            short, full = kind.__name__, f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
            if short in self._codes or full in self._codes:
                return self._codes.get(full, self._codes.get(short))
        return None


FAILURES = _Failures()


def explain(message: str) -> None:
    """Say on standard error what went wrong."""
    print(f"lcm: {message}", file=sys.stderr)
