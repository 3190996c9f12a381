"""The SQL files of the project: migrations in order, queries and questions of reports by name.

They lie in `sql/` beside the package in a checkout, and inside the package in a wheel.
"""

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


@cache
def sql_folder() -> Path:
    """The folder that holds `migrations` and `queries`."""
    for candidate in (_PACKAGE / "sql", _PACKAGE.parent / "sql"):
        if (candidate / "migrations").is_dir():
            return candidate
    raise FileNotFoundError("the folder sql/ is missing: install the project from its checkout")


@cache
def query(name: str) -> bytes:
    """The text of sql/queries/<name>.sql."""
    return (sql_folder() / "queries" / f"{name}.sql").read_bytes()


@cache
def report_query(name: str) -> str:
    """The text of sql/reports/<name>.sql, which reads schema mart alone."""
    return (sql_folder() / "reports" / f"{name}.sql").read_text(encoding="utf-8")


def migration_files() -> list[Path]:
    """The migrations in the order in which they are applied."""
    return sorted((sql_folder() / "migrations").glob("[0-9][0-9][0-9][0-9]_*.sql"))
