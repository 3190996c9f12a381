"""The layout of a dashboard, and its filters with their scopes.

A chart without a column of time, or one that ignores it, is out of the scope of the time filters
and shows the last known day. Monthly marts have a filter of their own: with the filter of days, a
period that begins within a month would drop the whole month.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from lcm_pipeline.model.language import Language
from lcm_pipeline.superset.definition import Chart, Dashboard, SemanticLayer

Part = dict[str, Any]

# The range begins on a Monday, so that the first week of a chart is whole.
_DAYS = "DATETRUNC(DATEADD(DATETIME('today'), -90, day), week) : DATETIME('today')"
# Twelve whole months and the current one, which charts mark as incomplete.
_MONTHS = "DATETRUNC(DATEADD(DATETIME('today'), -12, month), month) : DATETIME('today')"
_FILTER_NAMES: dict[Language, tuple[str, str]] = {
    "ru": ("Дни", "Месяцы"),
    "en": ("Days", "Months"),
}
# The colours of the texts of calculated columns, by their value.
_COLOURS = {
    "hit": "#5AC189",
    "missed": "#E04355",
    "late": "#1FA8C9",
    "mutated": "#FCC700",
}
# In Superset's units of 8 pixels: a note of one line, each further line, the gap between parts.
_NOTE_HEIGHT, _LINE_HEIGHT, _GAP = 6, 3, 2
# How many letters of a note fit into a line on a narrow screen, per unit of the chart's width.
_LETTERS_A_COLUMN = 9
_UNKNOWN, _VANISHED = "#B2B2B2", "#E04355"


@dataclass(frozen=True)
class PlacedChart:
    """A chart on a page. number: its id within the bundle; Superset assigns its own on import."""

    chart: Chart
    number: int
    uuid: str


@dataclass(frozen=True)
class PlacedRow:
    """Charts side by side."""

    height: int
    charts: tuple[PlacedChart, ...]


@dataclass(frozen=True)
class Dataset:
    """The id and the columns of the dataset of a mart, as far as filters need them."""

    uuid: str
    columns: frozenset[str]


def page_of(
    dashboard: Dashboard,
    rows: Sequence[PlacedRow],
    layer: SemanticLayer,
    datasets: Mapping[str, Dataset],
) -> Part:
    """The keys `position` and `metadata` of a dashboard. `datasets`: by the name of their mart."""
    placed = [chart for row in rows for chart in row.charts]
    filters = [
        *_time_filters(dashboard, placed, layer),
        *_value_filters(dashboard, placed, layer, datasets),
    ]
    return {
        "position": _position(dashboard.title, rows),
        "metadata": {
            "native_filter_configuration": filters,
            "cross_filters_enabled": True,
            "color_scheme": "supersetColors",
            "label_colors": _label_colours(layer),
            "refresh_frequency": 0,
            # Superset shows the description of these charts unfolded.
            "expanded_slices": {str(each.number): True for each in placed if each.chart.shows_note},
            "timed_refresh_immune_slices": [],
        },
    }


def _label_colours(layer: SemanticLayer) -> dict[str, str]:
    """The colours of service levels and restatement reasons, by their texts in the language."""
    colours: dict[str, str] = {}
    for name, otherwise in (("taken_up", _UNKNOWN), ("why", _VANISHED)):
        column = layer.calculated[name]
        colours |= {text: _COLOURS[value] for value, text in column.values.items()}
        colours[column.otherwise or ""] = otherwise
    return colours


def _position(title: str, rows: Sequence[PlacedRow]) -> Part:
    names = [f"ROW-{number}" for number in range(1, len(rows) + 1)]
    parts: Part = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": names, "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": title}},
    }
    for name, row in zip(names, rows, strict=True):
        within = ["ROOT_ID", "GRID_ID"]
        placed = [part for each in row.charts for part in _chart(each, [*within, name], row.height)]
        parts[name] = {
            "type": "ROW",
            "id": name,
            "children": [part["id"] for part in placed if part["parents"][-1] == name],
            "parents": within,
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        }
        parts |= {part["id"]: part for part in placed}
    return parts


def _chart(placed: PlacedChart, parents: list[str], height: int) -> list[Part]:
    """The parts of a chart; with a note, a column of chart and note, as high as the row."""
    chart, number = placed.chart, placed.number
    part: Part = {
        "type": "CHART",
        "id": f"CHART-{number}",
        "children": [],
        "parents": parents,
        "meta": {
            "chartId": number,
            "uuid": placed.uuid,
            "sliceName": chart.title,
            "width": chart.width,
            "height": height,
        },
    }
    if not chart.shows_note:
        return [part]
    column: Part = {
        "type": "COLUMN",
        "id": f"COLUMN-{number}",
        "children": [f"CHART-{number}", f"MARKDOWN-{number}"],
        "parents": parents,
        "meta": {"width": chart.width, "background": "BACKGROUND_TRANSPARENT"},
    }
    within = [*parents, column["id"]]
    lines = ceil(len(chart.note or "") / (_LETTERS_A_COLUMN * chart.width))
    note_height = _NOTE_HEIGHT + _LINE_HEIGHT * (lines - 1)
    note = {
        "type": "MARKDOWN",
        "id": f"MARKDOWN-{number}",
        "children": [],
        "parents": within,
        "meta": {"code": chart.note, "width": chart.width, "height": note_height},
    }
    meta = part["meta"] | {"height": height - note_height - _GAP}
    return [column, part | {"parents": within, "meta": meta}, note]


def _time_filters(
    dashboard: Dashboard, placed: Sequence[PlacedChart], layer: SemanticLayer
) -> Iterator[Part]:
    scopes: dict[int, str | None] = {}
    for each in placed:
        use = layer.marts[each.chart.mart]
        timeless = use.time is None or each.chart.whenever
        scopes[each.number] = None if timeless else "months" if use.is_monthly else "days"
    days, months = _FILTER_NAMES[layer.language]
    for period, name, default in (("days", days, _DAYS), ("months", months, _MONTHS)):
        if period in scopes.values():
            outside = [number for number, scope in scopes.items() if scope != period]
            part = _filter(f"{dashboard.slug}-{period}", name, outside)
            yield part | {
                "filterType": "filter_time",
                "targets": [{}],
                "defaultDataMask": {
                    "extraFormData": {"time_range": default},
                    "filterState": {"value": default},
                    "ownState": {},
                },
            }


def _value_filters(
    dashboard: Dashboard,
    placed: Sequence[PlacedChart],
    layer: SemanticLayer,
    datasets: Mapping[str, Dataset],
) -> Iterator[Part]:
    """Filters by value; each offers the values that the filters before it leave."""
    earlier: list[str] = []
    for column in dashboard.filters:
        calculated = layer.calculated[column]
        inside = [each for each in placed if calculated.source in datasets[each.chart.mart].columns]
        outside = [each.number for each in placed if each not in inside]
        dataset = datasets[inside[0].chart.mart]
        part = _filter(f"{dashboard.slug}-{column}", calculated.title, outside)
        yield part | {
            "filterType": "filter_select",
            "targets": [{"datasetUuid": dataset.uuid, "column": {"name": column}}],
            "cascadeParentIds": list(earlier),
            "controlValues": {"multiSelect": True, "enableEmptyFilter": False},
        }
        earlier.append(part["id"])


def _filter(key: str, name: str, outside: list[int]) -> Part:
    return {
        "id": f"NATIVE_FILTER-{key}",
        "name": name,
        "type": "NATIVE_FILTER",
        "description": "",
        "scope": {"rootPath": ["ROOT_ID"], "excluded": outside},
        "cascadeParentIds": [],
        "controlValues": {"enableEmptyFilter": False},
        "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
    }
