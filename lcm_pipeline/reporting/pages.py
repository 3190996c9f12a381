"""Fills the templates: figures become one HTML page that needs nothing but itself."""

from datetime import datetime, timedelta
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.reporting import drawings, formats, measures, sections
from lcm_pipeline.reporting.completeness import TABLES, State, TableState
from lcm_pipeline.reporting.figures import Figures
from lcm_pipeline.reporting.restated import find_restated

TABLE_NAMES = {feed.main_table.name: feed.label[0] for feed in FEEDS}
REASONS = {"late": "пришли позже", "mutated": "изменились", "vanished": "исчезли"}
_TILES = ("net_sales", "purchases", "buyers", "purchase_amount", "new_members", "points_added",
          "points_redeemed", "active_balance")  # fmt: skip


def build_page(figures: Figures, built_at: datetime) -> str:
    """The page as HTML. `built_at` is aware, and is written in the programme's time zone."""
    environment = Environment(
        loader=PackageLoader("lcm_pipeline.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= formats.FILTERS
    environment.filters["moment"] = lambda value: formats.moment(value, figures.zone)
    environment.globals |= {"State": State, "table_names": TABLE_NAMES, "reasons": REASONS}
    return environment.get_template("report.html").render(
        _trust(figures) | _programme(figures) | _service(figures), built_at=built_at
    )


def table_states(figures: Figures) -> list[TableState]:
    """The state of every table on the day of the report."""
    return [figures.completeness.of(table, figures.day) for table in TABLES]


def _trust(figures: Figures) -> dict[str, Any]:
    """What is said of the numbers before any is shown."""
    states = table_states(figures)
    return {
        "day": figures.day,
        "day_ru": formats.long_day(figures.day, "ru"),
        "day_en": formats.long_day(figures.day, "en"),
        "states": states,
        "overall": max(state.state for state in states),
        "quarantined": figures.completeness.quarantined(TABLES),
        "roster_from": figures.completeness.roster_from,
        "week_before": figures.day - timedelta(days=7),
        "trust_of": lambda *tables, on=figures.day: (
            figures.completeness.worst(tables, on),
            figures.completeness.least_share(tables, on),
            figures.completeness.quarantined(tables),
        ),
        "restated": find_restated(figures),
        "standing": figures.standing,
        "health": drawings.draw_health(figures, TABLE_NAMES),
        "define": figures.definitions.get,
    }


def _programme(figures: Figures) -> dict[str, Any]:
    lines = measures.compare(figures, "programme_days", measures.PROGRAMME)
    return {
        "lines": lines,
        "tiles": [line for line in lines if line.measure.column in _TILES],
        "programme_charts": drawings.draw_programme(figures),
        "point_charts": drawings.draw_points(figures),
        "liability": sections.sum_liability(figures),
        "bridge": figures["bridge"].to_dict("records"),
        "expiring": figures["expiring"].to_dict("records"),
        "stores": sections.rank_stores(figures),
        "segments": sections.share_segments(figures),
        "cohorts": sections.lay_out_cohorts(figures),
    }


def _service(figures: Figures) -> dict[str, Any]:
    return {
        "lead_lines": measures.compare(figures, "lead_days", measures.LEAD_MEASURES),
        "lead_types": figures["lead_types"].to_dict("records"),
        "lead_charts": drawings.draw_leads(figures),
        "first_answers": sections.judge_answers(figures, "first_change_sla", "sla_hours"),
        "closings": sections.judge_answers(figures, "closing_sla", "closing_sla_hours"),
        "backlog": sections.age_backlog(figures),
        "favourite_lines": measures.compare(figures, "favourite_days", measures.FAVOURITE_MEASURES),
        "favourite_goods": figures["favourite_goods"].to_dict("records"),
        "favourite_charts": drawings.draw_favourites(figures),
    }
