"""`lcm simulate`: serve a simulated programme over HTTP."""

import inspect
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from lcm_pipeline.cli.options import HostOption, parse_day
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.simulator.configuration import ConfigurationError, SimulatorConfig, build_config
from lcm_pipeline.simulator.faults import FAULTS
from lcm_pipeline.simulator.quirks import described_quirks
from lcm_pipeline.simulator.server import serve

DEFAULT_PORT = 8099
_MOSCOW = ZoneInfo("Europe/Moscow")
_FIRST_YEAR, _LAST_YEAR = 1900, 9000
_MAX_DAYS = 36_500
# Some 30 kB of memory each in their first two weeks: 3 GB.
_MAX_CLIENTS = 100_000


def _parse_programme_day(text: str) -> date:
    """Parse a day whose programme is within the range of dates; raises typer.BadParameter."""
    day = parse_day(text)
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise typer.BadParameter(
            f"{text!r} is not a day of a programme: expected a year from {_FIRST_YEAR} to"
            f" {_LAST_YEAR}"
        )
    return day


def programme_size(clients: int) -> int:
    """Check that a programme of so many clients fits into memory; raises BadParameter."""
    if clients > _MAX_CLIENTS:
        raise typer.BadParameter(
            f"the simulator holds all clients and their rows in memory: expected {_MAX_CLIENTS:,}"
            f" at most; got {clients:,}"
        )
    return clients


TodayOption = Annotated[
    date | None,
    typer.Option(
        parser=_parse_programme_day, metavar="DAY", show_default="today in Moscow",
        help="The programme's current day: data ends where this day begins.",
    ),
]  # fmt: skip


def simulate(
    host: HostOption = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")
    ] = DEFAULT_PORT,
    clients: Annotated[
        int,
        typer.Option(
            min=1,
            callback=programme_size,
            help="Clients that register in the first --days days.",
        ),
    ] = 400,
    seed: Annotated[int, typer.Option(help="Equal seeds and options give equal programmes.")] = 1,
    days: Annotated[
        int,
        typer.Option(
            min=1,
            max=_MAX_DAYS,
            help="Days in which these clients register; more register later.",
        ),
    ] = 14,
    start: Annotated[
        date | None,
        typer.Option(
            parser=_parse_programme_day,
            metavar="DAY",
            show_default="--days before --today",
            help="The programme's first day.",
        ),
    ] = None,
    today: TodayOption = None,
    prefix: Annotated[str, typer.Option(help="Path prefix of the tenant.")] = "/",
    quirk: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as max_length=100; repeatable.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault rule as JSON; repeatable.")
    ] = None,
) -> None:
    """Serve a simulated loyalty programme over HTTP, to try the pipeline.

    The first printed line is the address. Any login is accepted, and profile
    updates are lost when the command ends.

    Equal options give equal programmes at any hour of the day. With only
    --days, the programme begins that many days before today, so it differs
    tomorrow. With --start it is the same programme, one day older tomorrow;
    with --start and --today every row stays the same.
    """
    config = programme_config(
        start=start, today=today, days=days, clients=clients, seed=seed, host=host, port=port,
        prefix=prefix, quirks=tuple(quirk or ()), faults=tuple(fault or ()),
    )  # fmt: skip
    # Flushed, so that a pipe gets the address immediately.
    try:
        serve(config, lambda url: print(url, flush=True))
    except OSError as error:
        raise UsageError(
            f"port {port} of {host} cannot be used ({error.strerror or error}): choose another with"
            " --port"
        ) from error


def _lines(described: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {what}" for name, what in described.items())


# Python 3.13 removes the indentation of docstrings, older versions do not.
simulate.__doc__ = f"""{inspect.getdoc(simulate)}

\b
Quirks, deviations of the responses, with their defaults:
{_lines(described_quirks())}

\b
Faults, as in --fault '{{"kind": "server_error", "every": 50}}':
{_lines(FAULTS)}

Besides its kind, a rule has nth, every or probability (which calls fail),
times (at most how often), endpoint and client (which calls it applies to).
"""


def programme_config(
    *, start: date | None, today: date | None, days: int, **others: Any
) -> SimulatorConfig:
    """Return the programme that `lcm simulate` and `lcm demo` serve; raises UsageError.

    Its clock is set to the start of a day, so that no row depends on the hour of the call.
    """
    today = today or moscow_today()
    start = start or today - timedelta(days=days)
    if start > today:
        raise typer.BadParameter(f"--start {start} is after --today {today}")
    try:
        return build_config(
            start=start,
            now=datetime.combine(today, time()),
            opening_end=datetime.combine(start + timedelta(days=days), time()),
            **others,
        )
    except ConfigurationError as error:
        # The simulator imports nothing of ours, so its error cannot be a UsageError itself.
        raise UsageError(str(error)) from error


def moscow_now() -> datetime:
    """Return the current time as the simulator uses it: naive, in Moscow, in whole seconds."""
    return datetime.now(UTC).astimezone(_MOSCOW).replace(tzinfo=None, microsecond=0)


def moscow_today() -> date:
    """Return the current date in Moscow."""
    return moscow_now().date()
