"""The charts of a page, each with its description in words."""

from datetime import date, timedelta

import pandas as pd

from lcm_pipeline.reporting.charts import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    DrawnChart,
    draw_days,
    draw_lines,
    draw_stack,
    draw_states,
)
from lcm_pipeline.reporting.completeness import TABLES, DayState
from lcm_pipeline.reporting.figures import Figures
from lcm_pipeline.reporting.formats import exact
from lcm_pipeline.reporting.measures import (
    FAVOURITE_MEASURES,
    LEAD_MEASURES,
    PROGRAMME,
    Measure,
    known_days,
)
from lcm_pipeline.reporting.sections import stack_liability

# A trend shows the day of the report and the days before it.
TREND_DAYS = 90
_STATES = {
    DayState.COMPLETE: ("все клиенты подтверждены", "all clients confirmed", GREEN),
    DayState.PARTIAL: ("часть клиентов ожидает", "some clients pending", AMBER),
    DayState.MISSING: ("не загружено", "not loaded", RED),
}
_MEASURES = {
    measure.column: measure for measure in (*PROGRAMME, *LEAD_MEASURES, *FAVOURITE_MEASURES)
}


def draw_programme(figures: Figures) -> list[DrawnChart]:
    """Sales, buyers, new members and points by day."""
    bars = [
        _bars(figures, "programme_days", _MEASURES[column], colour)
        for column, colour in (("net_sales", BLUE), ("buyers", BLUE), ("new_members", ORANGE))
    ]
    points = _lines(
        figures,
        "programme_days",
        ("points_added", "points_redeemed"),
        figures.text("Баллы: начислено и списано", "Points added and redeemed"),
    )
    return [chart for chart in (*bars, points) if chart]


def draw_points(figures: Figures) -> list[DrawnChart]:
    """Points outstanding by day and by month of expiry."""
    balances = _lines(
        figures,
        "programme_days",
        ("active_balance", "pending_balance"),
        figures.text("Остаток баллов на конец дня", "Points outstanding by day"),
    )
    return [chart for chart in (balances, _expiries(figures)) if chart]


def draw_leads(figures: Figures) -> list[DrawnChart]:
    """Leads by day."""
    chart = _bars(figures, "lead_days", _MEASURES["leads"], ORANGE)
    return [chart] if chart else []


def draw_favourites(figures: Figures) -> list[DrawnChart]:
    """Offers of favourite products by day."""
    chart = _lines(figures, "favourite_days", ("offered", "confirmed"),
                    figures.text("Предложено и подтверждено", "Offered and confirmed"))  # fmt: skip
    return [chart] if chart else []


def draw_health(figures: Figures, table_names: dict[str, str]) -> DrawnChart:
    """Which days of each table are complete, starting with the first day that any table has."""
    first = max(figures.completeness.days()[0], figures.day - timedelta(days=TREND_DAYS - 1))
    days = [first + timedelta(days=number) for number in range((figures.day - first).days + 1)]
    states = {
        (table, day): figures.completeness.of(table, day).state for table in TABLES for day in days
    }
    rows = pd.DataFrame(
        [(table_names[t], day, _STATES[state][2]) for (t, day), state in states.items()],
        columns=["name", "day", "colour"],
    )
    incomplete = sum(state is not DayState.COMPLETE for state in states.values())
    counted = figures.text(
        f"неполных дней по всем таблицам: {incomplete} из {len(states)}",
        f"incomplete days, over all tables: {incomplete} of {len(states)}",
    )
    legend = tuple(
        (figures.text(russian, english), colour) for russian, english, colour in _STATES.values()
    )
    title = figures.text("Полнота по дням", "Completeness by day")
    return DrawnChart(
        title, f"{_span(figures, days)}: {counted}", draw_states(rows, figures.language), legend
    )


def _bars(figures: Figures, query: str, measure: Measure, colour: str) -> DrawnChart | None:
    days = _trend(figures, query, measure)
    if days.empty:
        return None
    return DrawnChart(
        measure.title(figures.language),
        _describe(figures, measure, days),
        draw_days(days, figures.language, colour),
        incomplete_days=_count_incomplete(days),
    )


def _lines(figures: Figures, query: str, columns: tuple[str, str], title: str) -> DrawnChart | None:
    measures = [_MEASURES[column] for column in columns]
    trends = [_trend(figures, query, measure) for measure in measures]
    if any(days.empty for days in trends):
        return None
    description = "; ".join(
        _describe(figures, measure, days) for measure, days in zip(measures, trends, strict=True)
    )
    colours = (BLUE, ORANGE)
    names = [measure.title(figures.language) for measure in measures]
    legend = tuple(zip(names, colours, strict=True))
    svg = draw_lines(list(zip(colours, trends, strict=True)), figures.language)
    return DrawnChart(title, description, svg, legend, max(map(_count_incomplete, trends)))


def _expiries(figures: Figures) -> DrawnChart | None:
    rows = figures["liability"]
    if rows.empty:
        return None
    labels = [figures.formats.month_number(month) for month in rows["expiry_month"]]
    colours = (BLUE, GREY)
    names = (figures.text("Активные", "Active"), figures.text("Ожидающие", "Pending"))
    legend = tuple(zip(names, colours, strict=True))
    svg = draw_stack(stack_liability(rows, labels, colours), figures.language)
    description = ", ".join(
        f"{label}: {figures.formats.points(points)}"
        for label, points in zip(labels, rows["outstanding_points"], strict=True)
    )
    title = figures.text("Остаток баллов по месяцу сгорания", "Points by month of expiry")
    return DrawnChart(title, description, svg, legend)


def _trend(figures: Figures, query: str, measure: Measure) -> pd.DataFrame:
    days = known_days(figures, query, measure)
    return days[days["day"] > figures.day - timedelta(days=TREND_DAYS)]


def _count_incomplete(days: pd.DataFrame) -> int:
    return int((~days["is_complete"].astype(bool)).sum())


def _describe(figures: Figures, measure: Measure, days: pd.DataFrame) -> str:
    least, greatest, last = (
        measure.write(figures.formats, exact(number))
        for number in (days["value"].min(), days["value"].max(), days["value"].iloc[-1])
    )
    span = _span(figures, list(days["day"]))
    return f"{measure.title(figures.language)}, {span}: " + figures.text(
        f"от {least} до {greatest}, в последний день {last}",
        f"from {least} to {greatest}, on the last day {last}",
    )


def _span(figures: Figures, days: list[date]) -> str:
    return f"{figures.formats.short_day(days[0])} – {figures.formats.short_day(days[-1])}"
