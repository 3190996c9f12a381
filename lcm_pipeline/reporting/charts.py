"""Charts as static SVG that needs no script, rendered from Altair specifications.

Text takes the colour of the surrounding page, so a chart fits the light and the dark theme. Each
chart also has a description in words for screen readers. Marks are not clipped and gradients are
not used: both need SVG ids, which would collide between the charts of one page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import pandas as pd
import vl_convert
from markupsafe import Markup

from lcm_pipeline.model.language import Language

BLUE, ORANGE, GREY = "#4b83e8", "#e08a2e", "#8d97a8"
GREEN, AMBER, RED = "#3f9d6b", "#e0a52e", "#cf4a3f"
_WIDTH, _HEIGHT = 400, 130
_FONT = "system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
# Vega has no Russian abbreviations of large numbers, such as "млн".
_SHORT_NUMBERS = (
    "abs(datum.value) >= 1e6 ? format(datum.value / 1e6, ',.3~f') + '{}' : "
    "abs(datum.value) >= 1e4 ? format(datum.value / 1e3, ',.3~f') + '{}' : "
    "format(datum.value, ',.2~f')"
)
_MILLION_THOUSAND: dict[Language, tuple[str, str]] = {"ru": (" млн", " тыс."), "en": ("M", "k")}
_LOCALES: dict[Language, Literal["ru-RU", "en-GB"]] = {"ru": "ru-RU", "en": "en-GB"}
_DAYS: dict[Language, str] = {"ru": "%d.%m", "en": "%d %b"}
_VERSION = alt.SCHEMA_VERSION.lstrip("v").rpartition(".")[0]


@dataclass(frozen=True)
class DrawnChart:
    """A chart: its title, its description for screen readers, and its SVG.

    legend: names and their colours. incomplete_days: how many of the days shown are not complete.
    """

    title: str
    description: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()
    incomplete_days: int = 0


def draw_days(days: pd.DataFrame, language: Language, colour: str = BLUE) -> Markup:
    """Draw bars of `day` and `value`, pale where not `is_complete`, and the mean of seven days.

    The mean is a line, drawn only where all seven days are known.
    """
    days = _with_timestamps(days)
    week = days.set_index("day")["value"].asfreq("D").rolling(7).mean()
    days = days.assign(week=days["day"].map(week))
    base = alt.Chart(days).encode(x=_day_axis(language))
    bars = base.mark_bar(color=colour, size=3).encode(
        y=_value_axis("value", language),
        opacity=alt.condition(alt.datum.is_complete, alt.value(0.55), alt.value(0.2)),
    )
    line = base.transform_filter("isValid(datum.week)").mark_line(
        color=ORANGE if colour == BLUE else BLUE, strokeWidth=2
    )
    return _draw(bars + line.encode(y="week:Q"), language)


def draw_lines(series: Sequence[tuple[str, pd.DataFrame]], language: Language) -> Markup:
    """Draw lines of `day` and `value`, each in its colour, broken where a day is not known."""
    rows = pd.concat(
        [
            # Days without a value have to be rows too: a line runs across days that are absent.
            _with_timestamps(days)
            .set_index("day")[["value"]]
            .asfreq("D")
            .reset_index()
            .assign(colour=colour)
            for colour, days in series
        ]
    )
    lines = alt.Chart(rows).mark_line(strokeWidth=2, invalid="break-paths-show-domains")
    x, y = _day_axis(language), _value_axis("value", language)
    return _draw(lines.encode(x=x, y=y, color=_colour()), language)


def draw_stack(rows: pd.DataFrame, language: Language) -> Markup:
    """Draw stacked bars of `label`, `value` and `colour`, in the order of the rows."""
    labels = alt.X("label:N", sort=None, title=None).axis(labelAngle=-40)
    bars = alt.Chart(rows).mark_bar()
    encoded = bars.encode(x=labels, y=_value_axis("value", language), color=_colour())
    return _draw(encoded, language)


def draw_states(rows: pd.DataFrame, language: Language) -> Markup:
    """Draw a strip of days for each `name`, in its `colour`, in the order of the rows."""
    names = alt.Y("name:N", sort=None, title=None).axis(
        minExtent=130, domain=False, ticks=False, labelLimit=0, labelPadding=10
    )
    strip = alt.Chart(_with_timestamps(rows)).mark_rect(width=7, height=16)
    encoded = strip.encode(x=_day_axis(language), y=names, color=_colour())
    return _draw(encoded, language, width=760, height=88)


def _with_timestamps(days: pd.DataFrame) -> pd.DataFrame:
    """Days as naive timestamps: Vega reads a plain date as midnight UTC and may shift the day."""
    return days.assign(day=pd.to_datetime(days["day"]))


def _colour() -> alt.Color:
    """The colour that a row names; the template writes the legend, in the font of the page."""
    return alt.Color("colour:N", scale=None)


def _day_axis(language: Language) -> alt.X:
    axis = alt.Axis(format=_DAYS[language], tickCount=6, grid=False)
    return alt.X("day:T", title=None, axis=axis)


def _value_axis(column: str, language: Language) -> alt.Y:
    labels = _SHORT_NUMBERS.format(*_MILLION_THOUSAND[language])
    axis = alt.Axis(labelExpr=labels, tickCount=4, domain=False, ticks=False,
                    minExtent=52)  # fmt: skip
    return alt.Y(f"{column}:Q", title=None, axis=axis)


def _draw(chart: Any, language: Language, *, width: int = _WIDTH, height: int = _HEIGHT) -> Markup:
    text = {"labelColor": "currentColor", "labelFontSize": 11}
    lines = {"gridColor": "currentColor", "gridOpacity": 0.12, "domainColor": "currentColor",
             "domainOpacity": 0.3, "tickColor": "currentColor", "tickOpacity": 0.3}  # fmt: skip
    chart = (
        chart.properties(width=width, height=height, background="transparent")
        .configure(font=_FONT, aria=False, padding=2)
        .configure_view(stroke=None)
        .configure_axis(**text, **lines)
    )
    svg = vl_convert.vegalite_to_svg(
        chart.to_json(), vl_version=_VERSION, format_locale=_LOCALES[language]
    )
    # vl-convert escapes the texts, so the SVG is safe to embed as it is.
    return Markup(svg)  # noqa: S704
