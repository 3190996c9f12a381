"""`lcm report`: the HTML report of a day, a week or a month."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lcm_pipeline.cli.failures import INCOMPLETE, print_message
from lcm_pipeline.cli.lazy_group import StrictCommand
from lcm_pipeline.cli.options import DayOption, YesterdayOption, output_option, window_of
from lcm_pipeline.cli.output import open_output
from lcm_pipeline.model.extras import requires_extra
from lcm_pipeline.model.texts import strip_control_characters
from lcm_pipeline.reporting.periods import Kind, Period, parse_period
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.programme import require_time_zone

if TYPE_CHECKING:
    from lcm_pipeline.reporting.reports import Report

# The value of --week and --month if none is given.
_LAST = "last"


class ReportCommand(StrictCommand):
    """Inserts the default of --week and --month: Typer has no options with an optional value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given: list[str] = []
        for word, following in pairwise([*args, "--"]):
            given.append(word)
            if word in ("--week", "--month") and following.startswith("-"):
                given.append(_LAST)
        parsed: list[str] = super().parse_args(ctx, given)
        return parsed


COMMAND = ReportCommand


def report(
    day: DayOption = None,
    yesterday: YesterdayOption = False,
    week: Annotated[
        str | None,
        typer.Option(
            metavar="[YYYY-Www]",
            help="A week, Monday to Sunday; without a value the last one that has ended.",
        ),
    ] = None,
    month: Annotated[
        str | None,
        typer.Option(
            metavar="[YYYY-MM]",
            help="A month; without a value the last one that has ended.",
        ),
    ] = None,
    output: Annotated[Path | None, output_option("report-DAY.html")] = None,
) -> None:
    """Write the report of a day, a week or a month: one HTML page to mail or print.

    Without an option, it covers the last day with operations. A week or month is compared with the
    previous one; a period that is not over is marked as partial, and compared with the same number
    of days. The page is in LCM_LANGUAGE and opens without a network. It is built only from the
    marts, in one snapshot, so membership in lcm_bi is enough. Exit code 3 means that the page was
    written, but its days are incomplete or rows are in quarantine; a banner on the page shows what
    is missing.

    Examples: [bold]lcm report --date 2026-03-01 --output monday.html[/bold],
    [bold]lcm report --week[/bold], [bold]lcm report --month 2026-03[/bold]
    """
    # Imported here, so that --help works without the extra, and the message names it.
    with requires_extra("report", "lcm report"):
        from lcm_pipeline.reporting.reports import make_period_report, make_report
    settings = load_settings()
    if sum((day is not None, yesterday, week is not None, month is not None)) > 1:
        raise typer.BadParameter("give one of --date, --yesterday, --week and --month")
    if yesterday:
        day = settings.yesterday()
    if day is not None:
        window_of(settings, day, None, None)
    kind: Kind = "week" if week is not None else "month"
    text = week if week is not None else month
    period = None if text in (None, _LAST) else _parse(settings, kind, str(text))
    with open_warehouse(settings, is_read_only=True) as warehouse:
        require_time_zone(warehouse, settings)
        if text is None:
            made = make_report(warehouse, day, settings.language)
        else:
            made = make_period_report(warehouse, kind, period, settings.language)
    _write(made, output or Path(f"report-{made.name}.html"))
    if made.quarantined:
        print_message(
            f"rows in quarantine: {made.quarantined:,} (sync.quarantine says why); they are not"
            " included in any number on the page"
        )
    if made.is_part:
        print_message(f"{made.name} is not over: the page shows it through {made.day}, and says so")
    if made.begins is not None:
        print_message(
            f"{made.name} is shown from {made.begins}: nothing is known about earlier days"
        )
    if made.incomplete:
        again = (
            f"lcm sync --date {made.day}" if made.name == str(made.day) else "lcm sync --missing"
        )
        print_message(
            f"{made.name} is not complete in {', '.join(made.incomplete)}, and the page says so:"
            f" lcm status lists what is missing, {again} reads it again"
        )
    if made.incomplete or made.quarantined:
        raise typer.Exit(INCOMPLETE)


def _parse(settings: Settings, kind: Kind, text: str) -> Period:
    try:
        period = parse_period(kind, text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if settings.start_date is not None and period.last < settings.start_date:
        raise typer.BadParameter(
            f"{period.name} is before LCM_START_DATE, {settings.start_date}: if the programme began"
            " earlier, correct it"
        )
    return period


def _write(made: "Report", path: Path) -> None:
    """Write the page to the file; for `-` to standard output, and nothing else there."""
    page = made.html.encode()
    with open_output(path) as file:
        file.write(page)
    if str(path) != "-":
        typer.echo(f"wrote {strip_control_characters(str(path))} ({len(page) // 1000} kB)")
