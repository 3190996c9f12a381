"""The clock of the programme and what is due on it.

Everything that happens in the world is an event on this agenda, carried out in order of moment
and then of planning. One source of chance drives them all, so the time of the clock decides what
the world holds, whether the clock moved in one step or in many.
"""

import heapq
from collections.abc import Callable
from typing import Any


class Agenda:
    """Events by moment. An event planned in the past is carried out at the next step."""

    def __init__(self, beginning: int) -> None:
        self.now = beginning
        self._events: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, moment: int, happen: Callable[..., object], *arguments: Any) -> None:
        """Plan an event."""
        self._planned += 1
        heapq.heappush(self._events, (moment, self._planned, happen, arguments))

    def run_until(self, moment: int) -> None:
        """Move the clock to a moment, that moment's own events included."""
        events = self._events
        while events and events[0][0] <= moment:
            due, _, happen, arguments = heapq.heappop(events)
            self.now = max(self.now, due)
            happen(*arguments)
        self.now = max(self.now, moment)
