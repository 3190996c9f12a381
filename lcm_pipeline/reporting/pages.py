"""Fills the templates: renders figures as one self-contained HTML page."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.language import Language
from lcm_pipeline.reporting import drawings, measures, sections
from lcm_pipeline.reporting.completeness import TABLES, DayState, TableState
from lcm_pipeline.reporting.figures import Figures
from lcm_pipeline.reporting.formats import Formats
from lcm_pipeline.reporting.periods import Days, Period
from lcm_pipeline.reporting.restated import find_restated

# The titles of the tables.
TABLE_NAMES: dict[Language, dict[str, str]] = {
    "ru": {feed.main_table.name: feed.label[0] for feed in FEEDS},
    "en": {feed.main_table.name: feed.label[1] for feed in FEEDS},
}
_REASONS: dict[Language, dict[str, str]] = {
    "ru": {"late": "пришли с опозданием", "mutated": "изменились", "vanished": "исчезли"},
    "en": {"late": "arrived late", "mutated": "changed", "vanished": "vanished"},
}
_TILES = ("net_sales", "purchases", "buyers", "purchase_amount", "new_members", "points_added",
          "points_redeemed", "active_balance")  # fmt: skip


def build_page(figures: Figures, built_at: datetime) -> str:
    """The page of a day as HTML. `built_at` is aware; it is shown in the programme's time zone."""
    day = figures.day
    context = _trust(figures, [day]) | _programme(figures) | _leads_and_favourites(figures)
    return _render(
        figures,
        context,
        period=None,
        title=figures.formats.short_day(day),
        heading=figures.formats.long_day(day),
        command=f"lcm report --date {day}",
        built_at=built_at,
    )


def build_period_page(figures: Figures, period: Period, built_at: datetime) -> str:
    """The page of a week or month as HTML, through the last of its days that is known."""
    days = figures.completeness.days_of(period, figures.day)
    context = _trust(figures, days.all) | _period(figures, period, days)
    return _render(
        figures,
        context,
        period=period,
        title=period.name,
        heading=_period_heading(figures, period),
        command=f"lcm report --{period.kind} {period.name}",
        built_at=built_at,
    )


def table_states(figures: Figures) -> list[TableState]:
    """The state of every table on the day of the report."""
    return [figures.completeness.of(table, figures.day) for table in TABLES]


def incomplete_tables(figures: Figures, days: list[date]) -> tuple[str, ...]:
    """The tables that are not complete on at least one of the days."""
    return tuple(
        table
        for table in TABLES
        if not all(figures.completeness.is_complete((table,), day) for day in days)
    )


def _render(figures: Figures, context: dict[str, Any], **page: Any) -> str:
    environment = Environment(
        loader=PackageLoader("lcm_pipeline.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(figures.formats, name) for name in Formats.NAMES}
    # Imported macros see only the globals of the environment, not the context of the template.
    environment.globals |= {
        "State": DayState,
        "text": figures.text,
        "language": figures.language,
        "change": figures.formats.change,
        "define": figures.definitions.get,
        "unconfirmed": figures.unconfirmed,
        "standing": figures.standing,
        "table_names": TABLE_NAMES[figures.language],
        "reasons": _REASONS[figures.language],
        **context,
    }
    return environment.get_template("report.html").render(page)


def _trust(figures: Figures, days: list[date]) -> dict[str, Any]:
    """How far the numbers of these days can be trusted; the page shows it first."""
    completeness = figures.completeness

    def trust_of(*tables: str, on: date | None = None) -> tuple[Any, ...]:
        chosen = days if on is None else [on]
        shares = [completeness.least_share(tables, day) for day in chosen]
        known = [share for share in shares if share is not None]
        return (
            max(completeness.worst(tables, day) for day in chosen),
            min(known) if len(known) == len(shares) else None,
            completeness.quarantined(tables),
        )

    return {
        "day": figures.day,
        "states": table_states(figures),
        "overall": trust_of(*TABLES)[0],
        "quarantined": completeness.quarantined(TABLES),
        "roster_from": completeness.roster_from,
        "week_before": figures.day - timedelta(days=7),
        "trust_of": trust_of,
        "restated": find_restated(figures),
        "health": drawings.draw_health(figures, TABLE_NAMES[figures.language]),
        "assumed": figures.assumed,
    }


def _programme(figures: Figures) -> dict[str, Any]:
    lines = measures.compare_days(figures, "programme_days", measures.PROGRAMME)
    return {
        "lines": lines,
        "tiles": [line for line in lines if line.measure.column in _TILES],
        "programme_charts": drawings.draw_programme(figures),
        "point_charts": drawings.draw_points(figures),
        "liability": sections.sum_liability(figures),
        "bridge": figures["bridge"].to_dict("records"),
        "expiring": figures["expiring"].to_dict("records"),
        "conventions": figures["conventions"].to_dict("records"),
        "stores": sections.rank_stores(figures),
        "segments": sections.share_segments(figures),
        "cohorts": sections.lay_out_cohorts(figures),
    }


def _leads_and_favourites(figures: Figures) -> dict[str, Any]:
    return {
        "lead_lines": measures.compare_days(figures, "lead_days", measures.LEAD_MEASURES),
        "lead_types": figures["lead_types"].to_dict("records"),
        "lead_charts": drawings.draw_leads(figures),
        "first_responses": sections.count_response_times(figures, "first_change_sla", "sla_hours"),
        "closings": sections.count_response_times(figures, "closing_sla", "closing_sla_hours"),
        "backlog": sections.age_backlog(figures),
        "favourite_lines": measures.compare_days(
            figures, "favourite_days", measures.FAVOURITE_MEASURES
        ),
        "favourite_goods": figures["favourite_goods"].to_dict("records"),
        "favourite_charts": drawings.draw_favourites(figures),
    }


def _period(figures: Figures, period: Period, days: Days) -> dict[str, Any]:
    completeness = figures.completeness
    known, before = days.all, days.all_before
    lines = measures.compare_periods(figures, "programme_days", measures.PROGRAMME, days)
    return {
        "days": days,
        # "Changes to past days" since the previous day have no meaning for a week or a month.
        "restated": None,
        "states": [
            replace(
                completeness.of(table, figures.day),
                restated_rows=sum(completeness.of(table, day).restated_rows for day in known),
            )
            for table in TABLES
        ],
        "complete_days": {
            table: sum(completeness.is_complete((table,), day) for day in known) for table in TABLES
        },
        "has_base": all(
            completeness.worst(("operations",), day) is not DayState.MISSING for day in before
        ),
        "now_name": _period_name(figures, period, is_part=days.is_part),
        "before_name": _period_name(figures, period.before, is_part=days.is_part),
        "before_words": figures.text("к", "vs.") + " " + period.before.name,
        "lines": lines,
        "tiles": [line for line in lines if line.measure.column in _TILES],
        "programme_charts": drawings.draw_programme(figures),
        "bridge": figures["bridge"].to_dict("records"),
        "stores": sections.rank_period_stores(figures),
        "lead_lines": measures.compare_periods(figures, "lead_days", measures.LEAD_MEASURES, days),
        "lead_charts": drawings.draw_leads(figures),
        "favourite_lines": measures.compare_periods(
            figures, "favourite_days", measures.FAVOURITE_MEASURES, days
        ),
        "favourite_charts": drawings.draw_favourites(figures),
    }


def _period_heading(figures: Figures, period: Period) -> str:
    if period.kind == "month":
        return figures.formats.month(period.first)
    span = " – ".join(map(figures.formats.short_day, (period.first, period.last)))
    return figures.text(f"неделя {period.name}, {span}", f"week {period.name}, {span}")


def _period_name(figures: Figures, period: Period, *, is_part: bool) -> str:
    if is_part:
        return figures.text(f"{period.name}, часть", f"{period.name}, part")
    return period.name
