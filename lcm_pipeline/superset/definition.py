"""What the dashboards show, as written down in dashboards/definition: read and checked.

Nothing of Superset's is known here. The names of marts and columns are held
against the database by `bundle`, not here, so a definition can be read without one.
"""

from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from lcm_pipeline.model.errors import UsageError

_PACKAGE = Path(__file__).resolve().parents[1]

Page = TypeVar("Page")
Kind = Literal[
    "trend", "number", "line", "bar", "area", "heatmap", "table", "rows"
]  # fmt: skip
Grain = Literal["day", "week", "month"]
Format = Literal["count", "points", "money", "share", "exact", "decimal", "text"]


class DefinitionError(UsageError):
    """The definition of the dashboards does not hold together; the message says where."""


class Metric(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A number of a mart: its title in both languages, how it is shown, its SQL."""

    title: str
    format: Format
    sql: str


class Label(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a column is called and how it is shown."""

    title: str
    format: Format = "text"


class Calculated(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A column that Superset computes, for every mart that has the column `source`."""

    title: str
    source: str
    sql: str


class MartUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a mart gives to charts; time is the column that the filters narrow, if it has one."""

    metrics: dict[str, Metric]
    time: str | None = None

    @property
    def is_monthly(self) -> bool:
        """Whether the filter of months governs it, and not the one of days."""
        return self.time is not None and self.time.endswith("month")


class Marts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that charts may name."""

    labels: dict[str, str | Label]
    calculated: dict[str, Calculated]
    marts: dict[str, MartUse]

    def label(self, column: str) -> Label | None:
        """The label of a column that is read as it is."""
        found = self.labels.get(column)
        return Label(found) if isinstance(found, str) else found


class Chart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chart: of one mart, some metrics by some columns. width is of the twelve of a row.

    of_last_day: the number is the one of the last day or month, not of the whole time chosen.
    whenever: the filters of time do not narrow it. only: a condition in SQL. order: a metric or
    column, with a minus for the greatest first (rows take several). alarms: a condition per metric.
    """

    title: str
    mart: str
    kind: Kind
    width: int
    metrics: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    x: str | None = None
    grain: Grain | None = None
    stacked: bool = False
    share: bool = False
    horizontal: bool = False
    of_last_day: bool = False
    whenever: bool = False
    only: str | None = None
    order: str | None = None
    limit: int = 10_000
    alarms: dict[str, str] = {}
    note: str | None = None
    about: str | None = None


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Charts side by side; height in Superset's units of 8 pixels."""

    height: int
    charts: tuple[Chart, ...]


class Dashboard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page: rows of charts under the strip of completeness. filters: columns to choose by."""

    title: str
    slug: str
    about: str
    rows: tuple[Row, ...]
    filters: tuple[str, ...] = ()


class Definition(msgspec.Struct, frozen=True):
    """All dashboards, and the rows that each begins with."""

    marts: Marts
    strip: tuple[Row, ...]
    dashboards: tuple[Dashboard, ...]


@cache
def dashboards_folder() -> Path:
    """The folder `dashboards`: beside the package in a checkout, inside the package in a wheel."""
    for candidate in (_PACKAGE / "dashboards", _PACKAGE.parent / "dashboards"):
        if (candidate / "definition").is_dir():
            return candidate
    raise FileNotFoundError(
        "the folder dashboards/ is missing: install the project from its checkout"
    )


def read_definition(folder: Path) -> Definition:
    """Read a folder of YAML files; raises DefinitionError with the file and the field."""
    pages = sorted(folder.glob("[0-9]*.yaml"))
    return Definition(
        _read(folder / "marts.yaml", Marts),
        _read(folder / "completeness.yaml", tuple[Row, ...]),
        tuple(_read(page, Dashboard) for page in pages),
    )


def _read(path: Path, kind: type[Page]) -> Page:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=kind)
    except msgspec.MsgspecError as error:
        raise DefinitionError(f"{path.name}: {error}") from None
