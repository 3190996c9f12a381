"""Everything that a simulator is started with, checked once.

Identity: with a `username` a bearer is required; with a `token` the body must carry it, or a
`site_code` in its place. With neither, everybody is served.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec

from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.quirks import Habits, Quirks, changed, read_pairs


class ConfigurationError(ValueError):
    """A start value is malformed; the message says which and what is expected."""


class SimulatorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to start a simulator. Port 0 picks a free one; moments are naive Moscow time.

    clients: who register from start to opening_end, which is now where none is given.
    """

    host: str = "127.0.0.1"
    port: int = 0
    prefix: str = "/"
    seed: int = 1
    clients: int = 400
    start: date = date(2026, 3, 1)
    now: datetime = datetime(2026, 3, 15)
    opening_end: datetime | None = None
    token: int | None = None
    operator: int | None = None
    site_code: str | None = None
    username: str | None = None
    password: str | None = None
    token_seconds: int = 3600
    habits: Habits = Habits()
    quirks: Quirks = Quirks()
    faults: tuple[FaultRule, ...] = ()

    def __post_init__(self) -> None:
        for name, moment in (("now", self.now), ("opening_end", self.opening_end)):
            if moment is not None and moment.tzinfo is not None:
                raise ValueError(f"{name} is naive Moscow time: leave the offset out")
        if self.now < datetime.combine(self.start, datetime.min.time()):
            raise ValueError("now lies before start")
        if self.opening_end is not None and self.opening_end.date() <= self.start:
            raise ValueError("opening_end lies before the second day")
        if self.clients < 0 or self.token_seconds <= 0:
            raise ValueError("clients and token_seconds cannot be negative")

    @property
    def path(self) -> str:
        """The prefix with a slash on either side."""
        inner = self.prefix.strip("/")
        return f"/{inner}/" if inner else "/"


def build_config(
    *,
    quirks: Iterable[str] = (),
    habits: Iterable[str] = (),
    faults: Iterable[str] = (),
    **settings: Any,
) -> SimulatorConfig:
    """Build a configuration from text: `name=value` quirks and habits, faults as JSON objects.

    The other settings are the fields of SimulatorConfig, as their own types or as text.
    """
    try:
        given: dict[str, Any] = {
            name: value for name, value in settings.items() if value is not None
        }
        given["quirks"] = changed(Quirks(), read_pairs(quirks))
        given["habits"] = changed(Habits(), read_pairs(habits))
        given["faults"] = tuple(msgspec.json.decode(rule, type=FaultRule) for rule in faults)
        return msgspec.convert(given, SimulatorConfig, strict=False)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigurationError(f"the simulator cannot start with this: {error}") from error
