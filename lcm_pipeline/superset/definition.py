"""What the dashboards show, as written down in dashboards/definition: read and checked.

A text is a pair {ru: …, en: …} in the files, and the one of the chosen language here.
Nothing of Superset's is known here. The names of marts and columns are held
against the database by `bundle`, not here, so a definition can be read without one.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.settings import DEFAULT_TIMEZONE

_PACKAGE = Path(__file__).resolve().parents[1]

Page = TypeVar("Page")
Kind = Literal[
    "trend", "number", "headline", "line", "bar", "area", "heatmap", "table", "rows"
]  # fmt: skip
Grain = Literal["day", "month"]
Format = Literal["count", "points", "money", "share", "exact", "decimal", "day", "moment", "text"]


class DefinitionError(UsageError):
    """The definition of the dashboards does not hold together; the message says where."""


class Metric(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A number of a mart: its title, how it is shown, its SQL."""

    title: str
    format: Format
    sql: str


class Label(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a column is called and how it is shown."""

    title: str
    format: Format = "text"


class Calculated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column that Superset computes, for every mart that has the column `source`.

    sql: what it is, `source` itself where None. values: a text for each of its values; otherwise:
    the text for all others, for an empty text and for null.
    """

    title: str
    source: str
    sql: str | None = None
    values: dict[str, str] = {}
    otherwise: str | None = None

    @property
    def expression(self) -> str:
        """The SQL of the column."""
        sql = self.sql or self.source
        if self.values:
            cases = "".join(
                f" when {_literal(value)} then {_literal(text)}"
                for value, text in self.values.items()
            )
            return f"case ({sql})::text{cases} else {_literal(self.otherwise or '')} end"
        if self.otherwise is not None:
            return f"coalesce(nullif({sql}, ''), {_literal(self.otherwise)})"
        return sql


class MartUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a mart gives to charts; time is the column that the filters narrow, if it has one."""

    metrics: dict[str, Metric]
    time: str | None = None

    @property
    def is_monthly(self) -> bool:
        """Whether the filter of months governs it, and not the one of days."""
        return self.time is not None and self.time.endswith("month")


class Marts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that charts may name, in one language."""

    labels: dict[str, str | Label]
    calculated: dict[str, Calculated]
    marts: dict[str, MartUse]
    language: Language = DEFAULT_LANGUAGE
    timezone: str = DEFAULT_TIMEZONE

    def label(self, column: str) -> Label | None:
        """The label of a column that is read as it is."""
        found = self.labels.get(column)
        return Label(found) if isinstance(found, str) else found

    def title_of(self, column: str) -> str:
        """What a column that a chart names is called."""
        if column in self.calculated:
            return self.calculated[column].title
        label = self.label(column)
        return label.title if label else column


class Chart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chart: of one mart, some metrics by some columns. width is of the twelve of a row.

    name: its English title, of which its id is made. note: what stands under a number, or under the
    chart. A headline is a number that may be a dash, and a text that says why.
    of_last_day: the number is the one of the last day or month, not of the whole time chosen.
    whenever: the filters of time do not narrow it. only: a condition in SQL. order: a metric or
    column, with a minus for the greatest first (rows take several). alarms: a condition per metric.
    page: how many rows of a table the server sends at a time; 0 sends all, up to the limit.
    """

    title: str
    name: str
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
    page: int = 0
    alarms: dict[str, str] = {}
    note: str | None = None
    about: str | None = None

    @property
    def shows_note(self) -> bool:
        """Whether its note is a description that stands open; a number's is part of it."""
        return self.note is not None and self.kind not in ("trend", "number")


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


def read_definition(
    folder: Path, language: Language = DEFAULT_LANGUAGE, timezone: str = DEFAULT_TIMEZONE
) -> Definition:
    """Read a folder of YAML files; raises DefinitionError with the file and the field.

    Texts are of the language, and {timezone} in SQL is the time zone.
    """
    pages = sorted(folder.glob("[0-9]*.yaml"))
    chosen = (language, timezone)
    marts = _read(folder / "marts.yaml", Marts, *chosen)
    return Definition(
        msgspec.structs.replace(marts, language=language, timezone=timezone),
        _read(folder / "completeness.yaml", tuple[Row, ...], *chosen),
        tuple(_read(page, Dashboard, *chosen) for page in pages),
    )


def _read(path: Path, kind: type[Page], language: Language, timezone: str) -> Page:
    try:
        part = _in(language, timezone, msgspec.yaml.decode(path.read_bytes()))
        return msgspec.convert(part, kind)
    except msgspec.MsgspecError as error:
        raise DefinitionError(f"{path.name}: {error}") from None


def _in(language: Language, timezone: str, part: Any) -> Any:
    """The part with each pair of texts replaced by the one of the language."""
    if isinstance(part, list):
        return [_in(language, timezone, each) for each in part]
    if isinstance(part, str):
        return part.replace("{timezone}", timezone)
    if not isinstance(part, dict):
        return part
    if part.keys() == {"ru", "en"}:
        return _in(language, timezone, part[language])
    chosen = {key: _in(language, timezone, value) for key, value in part.items()}
    # Ids are made of a chart's English title, so that the other language updates the same chart.
    return chosen | {"name": _in("en", timezone, part["title"])} if "kind" in part else chosen


def _literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
