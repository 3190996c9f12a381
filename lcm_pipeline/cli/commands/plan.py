"""`lcm plan`: estimate the cost of a sync, or of a programme of any size."""

from typing import Annotated

import typer

from lcm_pipeline.cli.failures import explained_identity
from lcm_pipeline.cli.options import DayOption, FromOption, ToOption, window_of
from lcm_pipeline.cli.output import print_plan, print_scale
from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.plan import plan_window
from lcm_pipeline.sync.scale import ProgrammeSize, plan_scale


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
        print_scale(programme, plan_scale(programme, rate, settings), rate, settings)
        return
    if rps is not None:
        raise typer.BadParameter("--rps needs --clients; LCM_MAX_RPS is the rate of a sync")
    if operations is not None or latency is not None:
        raise typer.BadParameter("--operations and --latency need --clients: a sync measures them")
    window = window_of(settings, day, first, last)
    settings.required_api_url()
    with explained_identity(), warehouse_or_empty(settings) as warehouse:
        print_plan(plan_window(settings, warehouse, window))
