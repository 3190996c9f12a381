"""A dashboard's page: where its charts lie, and the filters beside them with what they govern.

A chart without a column of time, or that is set to ignore it, is out of the scope of the filters
of time: it shows the last day known. Monthly marts have a filter of months of their own, or the
first days of a chosen period would drop a whole month.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lcm_pipeline.model.language import Language
from lcm_pipeline.superset.definition import Chart, Dashboard, Marts

Part = dict[str, Any]

# From a Monday on: the first week of a chart is whole.
_DAYS = "DATETRUNC(DATEADD(DATETIME('today'), -90, day), week) : DATETIME('today')"
# Twelve whole months, and the running one, which charts mark.
_MONTHS = "DATETRUNC(DATEADD(DATETIME('today'), -12, month), month) : DATETIME('today')"
_FILTER_NAMES: dict[Language, tuple[str, str]] = {
    "ru": ("Дни", "Месяцы"),
    "en": ("Days", "Months"),
}
# Of the texts of calculated columns, by their value.
_COLOURS = {
    "hit": "#5AC189",
    "missed": "#E04355",
    "late": "#1FA8C9",
    "mutated": "#FCC700",
}
# In Superset's units of 8 pixels: a note of one line, each line more, what lies between two parts.
_NOTE_HEIGHT, _LINE_HEIGHT, _GAP = 6, 3, 2
# What fits into a line of a note, by the width of its chart, on a narrow screen.
_LETTERS_A_COLUMN = 9
_UNKNOWN, _VANISHED = "#B2B2B2", "#E04355"


@dataclass(frozen=True)
class PlacedChart:
    """A chart on a page. number: its id within the bundle; Superset gives it another."""

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
    """What a filter has to know of a mart."""

    uuid: str
    columns: frozenset[str]


def page_of(
    dashboard: Dashboard, rows: Sequence[PlacedRow], marts: Marts, datasets: Mapping[str, Dataset]
) -> Part:
    """The parts `position` and `metadata` of a dashboard. `datasets` are by name of mart."""
    placed = [chart for row in rows for chart in row.charts]
    filters = [
        *_time_filters(dashboard, placed, marts),
        *_choices(dashboard, placed, marts, datasets),
    ]
    return {
        "position": _position(dashboard.title, rows),
        "metadata": {
            "native_filter_configuration": filters,
            "cross_filters_enabled": True,
            "color_scheme": "supersetColors",
            "label_colors": _label_colours(marts),
            "refresh_frequency": 0,
            # The notes of these stand open.
            "expanded_slices": {str(each.number): True for each in placed if each.chart.shows_note},
            "timed_refresh_immune_slices": [],
        },
    }


def _label_colours(marts: Marts) -> dict[str, str]:
    """The colours of judgements and reasons, by what the language calls them."""
    colours: dict[str, str] = {}
    for name, otherwise in (("taken_up", _UNKNOWN), ("why", _VANISHED)):
        made = marts.calculated[name]
        colours |= {text: _COLOURS[value] for value, text in made.values.items()}
        colours[made.otherwise or ""] = otherwise
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
    """A chart; with a note, a column of the chart and the note, as high as the row."""
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
    lines = -(-len(chart.note or "") // (_LETTERS_A_COLUMN * chart.width))
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
    dashboard: Dashboard, placed: Sequence[PlacedChart], marts: Marts
) -> Iterator[Part]:
    governed = {each.number: _period(each.chart, marts) for each in placed}
    days, months = _FILTER_NAMES[marts.language]
    for period, name, default in (("days", days, _DAYS), ("months", months, _MONTHS)):
        if period in governed.values():
            outside = [number for number, found in governed.items() if found != period]
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


def _period(chart: Chart, marts: Marts) -> str | None:
    use = marts.marts[chart.mart]
    if use.time is None or chart.whenever:
        return None
    return "months" if use.is_monthly else "days"


def _choices(
    dashboard: Dashboard,
    placed: Sequence[PlacedChart],
    marts: Marts,
    datasets: Mapping[str, Dataset],
) -> Iterator[Part]:
    """Filters by values; each offers what the ones before it leave."""
    earlier: list[str] = []
    for column in dashboard.filters:
        made = marts.calculated[column]
        inside = [each for each in placed if made.source in datasets[each.chart.mart].columns]
        outside = [each.number for each in placed if each not in inside]
        dataset = datasets[inside[0].chart.mart]
        part = _filter(f"{dashboard.slug}-{column}", made.title, outside)
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
