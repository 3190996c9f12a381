"""The two programs of `lcm ui`; this module does not import Dagster, which takes seconds."""

from enum import StrEnum


class Program(StrEnum):
    """The two programs of `lcm ui`."""

    WEB = "web"
    DAEMON = "daemon"

    @property
    def label(self) -> str:
        """Its name in messages."""
        return "Dagster's web server" if self is Program.WEB else "Dagster's daemon"


BOTH = tuple(Program)
