"""`lcm simulate`: a made-up programme over HTTP, and when it began."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.simulator.configuration import ConfigurationError, build_config
from lcm_pipeline.simulator.server import serve

_MOSCOW = ZoneInfo("Europe/Moscow")


def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8099,
    clients: Annotated[int, typer.Option(min=1, help="Clients registered by now.")] = 400,
    seed: Annotated[int, typer.Option(help="Equal seeds are equal programmes.")] = 1,
    days: Annotated[int, typer.Option(min=1, help="Days since the programme began.")] = 14,
    prefix: Annotated[str, typer.Option(help="Path prefix of the tenant.")] = "/",
    quirk: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as max_length=100; repeatable.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault rule as JSON; repeatable.")
    ] = None,
) -> None:
    """Serve a made-up loyalty programme over HTTP, to try the pipeline on."""
    try:
        config = build_config(
            host=host,
            port=port,
            clients=clients,
            seed=seed,
            start=day_before_today(days),
            now=moscow_now(),
            prefix=prefix,
            quirks=tuple(quirk or ()),
            faults=tuple(fault or ()),
        )
    except ConfigurationError as error:
        # The simulator imports nothing of ours, so its error cannot be a UsageError itself.
        raise UsageError(str(error)) from error
    serve(config)


def moscow_now() -> datetime:
    """The time as the simulator counts it: naive, of Moscow, in whole seconds."""
    return datetime.now(UTC).astimezone(_MOSCOW).replace(tzinfo=None, microsecond=0)


def day_before_today(days: int) -> date:
    """The day of Moscow so many days ago."""
    return moscow_now().date() - timedelta(days=days)
