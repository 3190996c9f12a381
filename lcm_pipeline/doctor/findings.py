"""What a check of `lcm doctor` found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from lcm_pipeline.warehouse.clock import MAX_CLOCK_SECONDS, describe_difference

_WARN_CLOCK_SECONDS = 30


class State(StrEnum):
    """The result of a check. warn: it works today, but needs attention."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the report. advice: what to do, "" when there is nothing to do."""

    name: str
    state: State
    found: str
    advice: str = ""


def clock_finding(name: str, ahead: float | None) -> Finding:
    """Compare a clock with this machine's. ahead: seconds; None if it was not reported."""
    if ahead is None:
        return Finding(name, State.OK, "not reported")
    seconds = abs(ahead)
    found = describe_difference(ahead) if seconds >= 1 else "agrees"
    if seconds < _WARN_CLOCK_SECONDS:
        return Finding(name, State.OK, found)
    state = State.FAIL if seconds >= MAX_CLOCK_SECONDS else State.WARN
    return Finding(name, state, found, "synchronize both with NTP: days end by the clock")
