"""The definition of the dashboards: reads and checks the files of dashboards/definition.

A text is a pair {ru: …, en: …} in the files, and the text of the chosen language here. This module
does not depend on Superset. `bundle` checks the names of marts and columns against the database,
so that a definition can be read without one.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from lcm_pipeline.files import shipped
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.settings import DEFAULT_TIMEZONE

Content = TypeVar("Content")
Kind = Literal[
    "trend", "number", "headline", "line", "bar", "area", "heatmap", "table", "rows"
]  # fmt: skip
Grain = Literal["day", "month"]
Format = Literal["count", "points", "money", "share", "exact", "decimal", "day", "moment", "text"]


class DefinitionError(UsageError):
    """The definition of the dashboards is invalid; the message says where."""


class Metric(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A metric of a mart: its title, its format and its SQL."""

    title: str
    format: Format
    sql: str


class Label(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The title and the format of a column."""

    title: str
    format: Format = "text"


class Calculated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column that Superset computes, for every mart that has the column `source`.

    sql: its expression; None means `source` itself. values: a text for each value; otherwise: the
    text for all other values, the empty text and null.
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
                f" when {_sql_literal(value)} then {_sql_literal(text)}"
                for value, text in self.values.items()
            )
            return f"case ({sql})::text{cases} else {_sql_literal(self.otherwise or '')} end"
        if self.otherwise is not None:
            return f"coalesce(nullif({sql}, ''), {_sql_literal(self.otherwise)})"
        return sql


class MartUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The metrics of a mart. time: the column that time filters apply to, None if there is none.

    not_over: a column over which a metric would count the same points or members several times,
    such as the day of a balance. Metrics are right for one of its values, not for their sum.
    """

    metrics: dict[str, Metric]
    time: str | None = None
    not_over: str | None = None

    @property
    def is_monthly(self) -> bool:
        """Whether the filter of months applies to it, rather than the filter of days."""
        return self.time is not None and self.time.endswith("month")


class SemanticLayer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What charts may name: marts and their metrics, labels, calculated columns.

    language: of the texts. timezone: in which timestamps are shown.
    """

    labels: dict[str, str | Label]
    calculated: dict[str, Calculated]
    marts: dict[str, MartUse]
    language: Language = DEFAULT_LANGUAGE
    timezone: str = DEFAULT_TIMEZONE

    def label(self, column: str) -> Label | None:
        """The label of a column that is not calculated; None if it has none."""
        found = self.labels.get(column)
        return Label(found) if isinstance(found, str) else found

    def title_of(self, column: str) -> str:
        """The title of a column that a chart names."""
        if column in self.calculated:
            return self.calculated[column].title
        label = self.label(column)
        return label.title if label else column


class Chart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chart: metrics of one mart by columns. width: in twelfths of a row.

    name: the English title, or its first one if that was changed: the id is derived from it. note:
    a text under the number or the chart. A headline is a number that may be a dash, with a text
    that explains the dash.
    of_last_day: the number is that of the last day or month, not of the whole chosen period.
    whenever: time filters do not apply. only: a condition in SQL. order: a metric or column, with a
    minus for descending order (rows take several). alarms: a condition per metric. page: rows of a
    table that the server sends at a time; 0 sends all, up to the limit.
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
        """Whether the note is a text below the chart; the note of a number is its subtitle."""
        return self.note is not None and self.kind not in ("trend", "number")


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Charts side by side; height in Superset's units of 8 pixels."""

    height: int
    charts: tuple[Chart, ...]


class Dashboard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page: rows of charts below the completeness strip. filters: columns to filter by value."""

    title: str
    slug: str
    about: str
    rows: tuple[Row, ...]
    filters: tuple[str, ...] = ()


class Definition(msgspec.Struct, frozen=True):
    """All dashboards. strip: the rows that each of them begins with."""

    layer: SemanticLayer
    strip: tuple[Row, ...]
    dashboards: tuple[Dashboard, ...]


def dashboards_folder() -> Path:
    """The folder that holds `definition` and `server`."""
    return shipped("dashboards")


def read_definition(
    folder: Path, language: Language = DEFAULT_LANGUAGE, timezone: str = DEFAULT_TIMEZONE
) -> Definition:
    """Read a folder of YAML files; raises DefinitionError with the file and the field.

    Texts are those of `language`; timestamps are shown in `timezone`.
    """
    pages = sorted(folder.glob("[0-9]*.yaml"))
    layer = _read_file(folder / "marts.yaml", SemanticLayer, language)
    return Definition(
        msgspec.structs.replace(layer, language=language, timezone=timezone),
        _read_file(folder / "completeness.yaml", tuple[Row, ...], language),
        tuple(_read_file(page, Dashboard, language) for page in pages),
    )


def _read_file(path: Path, kind: type[Content], language: Language) -> Content:
    try:
        content = _translate(language, msgspec.yaml.decode(path.read_bytes()))
        return msgspec.convert(content, kind)
    except msgspec.MsgspecError as error:
        raise DefinitionError(f"{path.name}: {error}") from None


def _translate(language: Language, part: Any) -> Any:
    """The part of a document with each pair of texts replaced by the one of the language."""
    if isinstance(part, list):
        return [_translate(language, each) for each in part]
    if not isinstance(part, dict):
        return part
    if part.keys() == {"ru", "en"}:
        return _translate(language, part[language])
    chosen = {key: _translate(language, value) for key, value in part.items()}
    if "kind" in part:
        # The id of a chart is derived from its English title, so that importing the bundle in the
        # other language updates the same chart; a chart whose title has changed names its first.
        chosen.setdefault("name", _translate("en", part["title"]))
    return chosen


def _sql_literal(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
