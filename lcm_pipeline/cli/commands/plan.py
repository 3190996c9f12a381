"""`lcm plan`: estimate the cost of a sync, or of a programme of any size."""

from typing import Annotated

import typer

from lcm_pipeline.cli.failures import explaining_refused_credentials
from lcm_pipeline.cli.options import DayOption, FromOption, ToOption, window_of
from lcm_pipeline.cli.output import console, new_table, print_table
from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.model.texts import counted
from lcm_pipeline.settings import MAX_READERS, Settings, load_settings
from lcm_pipeline.sync.plan import Plan, plan_window
from lcm_pipeline.sync.scale import ProgrammeSize, ScalePlan, plan_scale


def plan(
    day: DayOption = None,
    first: FromOption = None,
    last: ToOption = None,
    clients: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000_000, metavar="N", help="Estimate a programme with N clients."
        ),
    ] = None,
    rps: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=100_000,
            metavar="R",
            help="Requests per second.",
            show_default="LCM_MAX_RPS",
        ),
    ] = None,
    operations: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1_000_000,
            metavar="N",
            help="Operations per client, with --clients.",
            show_default=f"{ProgrammeSize.operations:g}",
        ),
    ] = None,
    latency: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            max=600_000,
            metavar="MS",
            help="Latency of the API, with --clients.",
            show_default=f"{ProgrammeSize.latency * 1000:g}",
        ),
    ] = None,
) -> None:
    """Estimate the cost of a sync: requests, time at the configured rate, expected rows.

    Reads a sample of days and clients from the API if the warehouse does not have them yet; writes
    nothing. With --clients it makes no request, and estimates the first load and the daily sync of
    a programme of that size.

    Examples: [bold]lcm plan --date 2026-03-01[/bold],
    [bold]lcm plan --clients 1000000 --rps 500[/bold]
    """
    settings = load_settings()
    if clients is not None:
        if day or first or last:
            raise typer.BadParameter("--clients estimates a programme of any size: give no days")
        rate = rps or settings.max_rps
        if rate is None:
            raise typer.BadParameter("--clients needs a rate: give --rps, or set LCM_MAX_RPS")
        programme = ProgrammeSize(
            clients,
            ProgrammeSize.operations if operations is None else operations,
            latency=ProgrammeSize.latency if latency is None else latency / 1000,
        )
        _print_scale(programme, plan_scale(programme, rate, settings), rate, settings)
        return
    if rps is not None:
        raise typer.BadParameter("--rps needs --clients; LCM_MAX_RPS is the rate of a sync")
    if operations is not None or latency is not None:
        raise typer.BadParameter("--operations and --latency need --clients: a sync measures them")
    window = window_of(settings, day, first, last)
    settings.required_api_url()
    with explaining_refused_credentials(), warehouse_or_empty(settings) as warehouse:
        _print_plan(plan_window(settings, warehouse, window))


def _print_plan(plan: Plan) -> None:
    """Print the estimated cost of a window."""
    table = new_table("", "clients", "deferred", "requests", "rows, about")
    for feed in plan.feeds:
        table.add_row(
            feed.feed,
            f"{feed.clients:,}",
            f"{feed.deferred:,}",
            f"{feed.requests:,}",
            f"{feed.rows:,}",
        )
    print_table(table)
    console.print(
        f"{plan.window}: about {counted(plan.requests, 'request')}, {plan.seconds:,.0f} s at the"
        f" configured rate and concurrency, with {plan.latency * 1000:.0f} ms per call as measured"
        f" now (planning sent {counted(plan.sampled, 'request')})"
    )


def _print_scale(
    programme: ProgrammeSize, plan: ScalePlan, rate: float, settings: Settings
) -> None:
    """Print the estimated cost of a programme of a given size."""
    table = new_table("", "requests", "hours", "rows", "GB")
    for name, cost in (("first load", plan.first), ("daily sync", plan.daily)):
        hours = cost.time.total_seconds() / 3600
        table.add_row(
            name, f"{cost.requests:,}", f"{hours:,.1f}", f"{cost.rows:,}", f"{cost.disk / 1e9:,.2f}"
        )
    print_table(table)
    advice = f"LCM_READERS={plan.readers} with LCM_CONCURRENCY={settings.concurrency}"
    if plan.readers > MAX_READERS:
        advice = (
            f"{plan.readers:,} readers with LCM_CONCURRENCY={settings.concurrency}. LCM_READERS is"
            f" {MAX_READERS} at most: raise LCM_CONCURRENCY, or request less"
        )
    if settings.max_in_flight is not None and plan.in_flight > settings.max_in_flight:
        advice += (
            f". LCM_MAX_IN_FLIGHT={settings.max_in_flight} allows only"
            f" {settings.max_in_flight / programme.latency:g} requests a second"
        )
    console.print(
        f"{counted(programme.clients, 'client')} with {programme.operations:g} operations each, of"
        f" which {programme.active_share:.0%} have a new one on a day. {rate:g} requests a second"
        f" at {programme.latency * 1000:g} ms are {plan.in_flight:,} in flight: {advice}"
    )
