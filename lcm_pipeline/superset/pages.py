"""A dashboard's page: where its charts lie, and the filters beside them with what they govern.

A chart without a column of time, or that is set to ignore it, is out of the scope of the filters
of time: it shows the last day known. Monthly marts have a filter of months of their own, or the
first days of a chosen period would drop a whole month.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lcm_pipeline.superset.definition import Chart, Dashboard, Marts

Part = dict[str, Any]

_DAYS = "DATEADD(DATETIME('today'), -90, day) : DATETIME('today')"
_MONTHS = "DATETRUNC(DATEADD(DATETIME('today'), -12, month), month) : DATETIME('today')"
_LABEL_COLOURS = {
    "В срок · Hit": "#5AC189",
    "Просрочено · Missed": "#E04355",
    "Неизвестно · Unknown": "#B2B2B2",
    "Опоздали · Late": "#1FA8C9",
    "Изменились · Mutated": "#FCC700",
    "Исчезли · Vanished": "#E04355",
}


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
            "label_colors": _LABEL_COLOURS,
            "refresh_frequency": 0,
            "expanded_slices": {},
            "timed_refresh_immune_slices": [],
        },
    }


def _position(title: str, rows: Sequence[PlacedRow]) -> Part:
    names = [f"ROW-{number}" for number in range(1, len(rows) + 1)]
    parts: Part = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": names, "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": title}},
    }
    for name, row in zip(names, rows, strict=True):
        parts[name] = {
            "type": "ROW",
            "id": name,
            "children": [f"CHART-{placed.number}" for placed in row.charts],
            "parents": ["ROOT_ID", "GRID_ID"],
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        }
        for placed in row.charts:
            parts[f"CHART-{placed.number}"] = _chart(placed, name, row.height)
    return parts


def _chart(placed: PlacedChart, row: str, height: int) -> Part:
    return {
        "type": "CHART",
        "id": f"CHART-{placed.number}",
        "children": [],
        "parents": ["ROOT_ID", "GRID_ID", row],
        "meta": {
            "chartId": placed.number,
            "uuid": placed.uuid,
            "sliceName": placed.chart.title,
            "width": placed.chart.width,
            "height": height,
        },
    }


def _time_filters(
    dashboard: Dashboard, placed: Sequence[PlacedChart], marts: Marts
) -> Iterator[Part]:
    governed = {each.number: _period(each.chart, marts) for each in placed}
    for period, name, default in (
        ("days", "Дни · Days", _DAYS),
        ("months", "Месяцы · Months", _MONTHS),
    ):
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
