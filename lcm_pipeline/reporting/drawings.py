"""Which drawings a page has, and what each says in words."""

from datetime import date, timedelta

import pandas as pd

from lcm_pipeline.reporting import formats
from lcm_pipeline.reporting.charts import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Chart,
    draw_days,
    draw_lines,
    draw_stack,
    draw_states,
)
from lcm_pipeline.reporting.completeness import TABLES, State
from lcm_pipeline.reporting.figures import Figures
from lcm_pipeline.reporting.measures import (
    FAVOURITE_MEASURES,
    LEAD_MEASURES,
    PROGRAMME,
    Measure,
    days_of,
)
from lcm_pipeline.reporting.sections import stack_liability

# Days that a trend shows: the day of the report and those before it.
TREND_DAYS = 90
_STATES = {
    State.COMPLETE: ("все клиенты подтверждены", GREEN),
    State.PARTIAL: ("часть клиентов ожидает", AMBER),
    State.MISSING: ("не загружено", RED),
}
_OF = {measure.column: measure for measure in (*PROGRAMME, *LEAD_MEASURES, *FAVOURITE_MEASURES)}


def draw_programme(figures: Figures) -> list[Chart]:
    """Sales, buyers, new members and points, day by day."""
    bars = [
        _bars(figures, "programme_days", _OF[column], colour)
        for column, colour in (("net_sales", BLUE), ("buyers", BLUE), ("new_members", ORANGE))
    ]
    points = _lines(figures, "programme_days", ("points_added", "points_redeemed"),
                    "Баллы: начислено и списано", "Points added and redeemed")  # fmt: skip
    return [chart for chart in (*bars, points) if chart]


def draw_points(figures: Figures) -> list[Chart]:
    """What is owed, day by day and by month of expiry."""
    balances = _lines(figures, "programme_days", ("active_balance", "pending_balance"),
                      "Остаток баллов на конец дня", "Points outstanding by day")  # fmt: skip
    return [chart for chart in (balances, _expiry(figures)) if chart]


def draw_leads(figures: Figures) -> list[Chart]:
    """Leads, day by day."""
    chart = _bars(figures, "lead_days", _OF["leads"], ORANGE)
    return [chart] if chart else []


def draw_favourites(figures: Figures) -> list[Chart]:
    """Offers of favourite products, day by day."""
    chart = _lines(figures, "favourite_days", ("offered", "confirmed"),
                   "Предложено и подтверждено", "Offered and confirmed")  # fmt: skip
    return [chart] if chart else []


def draw_health(figures: Figures, table_names: dict[str, str]) -> Chart:
    """Which days of which table are complete."""
    days = [figures.day - timedelta(days=back) for back in reversed(range(TREND_DAYS))]
    states = {
        (table, day): figures.completeness.of(table, day).state for table in TABLES for day in days
    }
    rows = pd.DataFrame(
        [(table_names[t], day, _STATES[state][1]) for (t, day), state in states.items()],
        columns=["name", "day", "colour"],
    )
    wrong = sum(state is not State.COMPLETE for state in states.values())
    words = f"{_span(days)}: не полностью загружено дней по таблицам: {wrong} из {len(states)}"
    return Chart(
        "Полнота по дням", "Completeness by day", words, draw_states(rows), tuple(_STATES.values())
    )


def _bars(figures: Figures, answer: str, measure: Measure, colour: str) -> Chart | None:
    days = _trend(figures, answer, measure)
    if days.empty:
        return None
    return Chart(
        measure.russian,
        measure.english,
        _in_words(measure, days),
        draw_days(days, colour),
        unsettled=_count_unsettled(days),
    )


def _lines(
    figures: Figures, answer: str, columns: tuple[str, str], russian: str, english: str
) -> Chart | None:
    measures = [_OF[column] for column in columns]
    trends = [_trend(figures, answer, measure) for measure in measures]
    if any(days.empty for days in trends):
        return None
    words = "; ".join(map(_in_words, measures, trends))
    colours = (BLUE, ORANGE)
    key = tuple(zip((measure.russian for measure in measures), colours, strict=True))
    svg = draw_lines(list(zip(colours, trends, strict=True)))
    return Chart(russian, english, words, svg, key, max(map(_count_unsettled, trends)))


def _expiry(figures: Figures) -> Chart | None:
    rows = figures["liability"]
    if rows.empty:
        return None
    labels = [formats.month_number(month) for month in rows["expiry_month"]]
    colours = (BLUE, GREY)
    key = tuple(zip(("Активные", "Ожидающие"), colours, strict=True))
    svg = draw_stack(stack_liability(rows, labels, colours))
    words = ", ".join(
        f"{label}: {formats.points(points)}"
        for label, points in zip(labels, rows["outstanding_points"], strict=True)
    )
    return Chart("Остаток баллов по месяцу сгорания", "Points by month of expiry", words, svg, key)


def _trend(figures: Figures, answer: str, measure: Measure) -> pd.DataFrame:
    days = days_of(figures, answer, measure)
    return days[days["day"] > figures.day - timedelta(days=TREND_DAYS)]


def _count_unsettled(days: pd.DataFrame) -> int:
    return int((~days["is_settled"].astype(bool)).sum())


def _in_words(measure: Measure, days: pd.DataFrame) -> str:
    least, greatest, last = (
        measure.write(formats.exact(number))
        for number in (days["value"].min(), days["value"].max(), days["value"].iloc[-1])
    )
    return (
        f"{measure.russian}, {_span(list(days['day']))}: от {least} до {greatest},"
        f" в последний день {last}"
    )


def _span(days: list[date]) -> str:
    return f"{formats.short_day(days[0])} – {formats.short_day(days[-1])}"
