"""Environment variables of others: of libpq, of Postgres' programs, and of child processes."""

import os
from pathlib import Path


def postgres_binaries_override() -> Path | None:
    """PG_BINDIR, the folder of the programs for the embedded Postgres; None if not set."""
    value = os.environ.get("PG_BINDIR", "").strip()
    return Path(value) if value else None


def libpq_variables() -> list[str]:
    """The names of set variables that change how libpq connects, such as PGSERVICE and PGTZ."""
    ours = {"PG_BINDIR", "PGDATA"}
    return sorted(name for name in os.environ if name.startswith("PG") and name not in ours)


def child_environment() -> dict[str, str]:
    """The environment for programs of others, without LCM_* and its secrets.

    Variables of Python and Superset are left out too: they would change other Python programs.
    """
    hidden = ("LCM_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SUPERSET_", "FLASK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
