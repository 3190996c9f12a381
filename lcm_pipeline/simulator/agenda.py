"""The clock of the simulated programme, and the events to come.

Everything that happens in the world is an event on this agenda, run in order of moment, then of
scheduling. All share one source of chance, so the time of the clock determines the state of the
world, whether the clock moved in one step or in many.
"""

import heapq
from collections.abc import Callable
from typing import Any


class Agenda:
    """Events by moment. One that is scheduled for the past runs at the next step."""

    def __init__(self, beginning: int) -> None:
        self.now = beginning
        self._events: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._scheduled = 0

    def at(self, moment: int, happen: Callable[..., object], *arguments: Any) -> None:
        """Schedule a call for a moment."""
        self._scheduled += 1
        heapq.heappush(self._events, (moment, self._scheduled, happen, arguments))

    def run_until(self, moment: int) -> None:
        """Move the clock to a moment, that moment's own events included."""
        events = self._events
        while events and events[0][0] <= moment:
            due, _, happen, arguments = heapq.heappop(events)
            self.now = max(self.now, due)
            happen(*arguments)
        self.now = max(self.now, moment)
