"""What a check of `lcm doctor` found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The result of a check. warn: it works today, but needs attention."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the report. advice: what to do, "" when there is nothing to do."""

    name: str
    state: Level
    found: str
    advice: str = ""
