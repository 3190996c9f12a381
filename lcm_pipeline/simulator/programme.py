"""The state of the programme: its clients, its number sequences and its agenda.

Nothing happens in this module by itself: the modules of events (registrations, purchases, bonuses,
leads, favourites, days) change the state, and the responses read it.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

from lcm_pipeline.simulator.customers import Customer, Entry, Shelf
from lcm_pipeline.simulator.fields import Row, Value
from lcm_pipeline.simulator.people import draw_card, draw_phone
from lcm_pipeline.simulator.quirks import Habits


@dataclass(slots=True)
class Flow:
    """A true movement of points, whatever the rows show: added is positive, taken is negative.

    cheque: the number of the cheque that redeemed the points.
    """

    kind: str
    moment: int
    points: Decimal
    lot: Entry
    cheque: Value = None


class Agenda:
    """The clock, and the events to come, by moment; one for the past runs at the next step.

    Everything that happens is an event on this agenda, run in order of moment, then of scheduling.
    All share one source of chance, so the time of the clock determines the state of the world,
    whether the clock moved in one step or in many.
    """

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


class Programme:
    """Clients and their rows, found by client, card, phone and e-mail."""

    def __init__(self, seed: int, habits: Habits, beginning: int) -> None:
        self.habits = habits
        self.chance = Random(f"programme {seed}")
        self.agenda = Agenda(beginning)
        self.customers: dict[int, Customer] = {}
        self.by_card: dict[int, Customer] = {}
        self.by_phone: dict[int, Customer] = {}
        self.by_email: dict[str, Customer] = {}
        self.registrations = Shelf()
        self.flows: list[Flow] = []
        self.flows_of_cheque = defaultdict[Value, list[Flow]](list)
        self.flows_of_lot = defaultdict[Entry, list[Flow]](list)
        # The ids of each kind of row count from 1, unless a start is given here.
        self.ids = defaultdict(
            lambda: count(1),
            cheques=count(700_001),
            others=count(3_000_000_000),
            leads=count(41),
            offers=count(90_001),
        )
        self._client = 1_000_000
        self._arrivals = count(1)

    def next_client(self) -> int:
        """The number of a new client: ascending, with gaps."""
        self._client += 1 + int(self.chance.random() * 9)
        return self._client

    def free_card(self) -> int:
        """A card number that is not in use."""
        while (card := draw_card(self.chance)) in self.by_card:
            continue
        return card

    def free_phone(self) -> int:
        """A phone number that is not in use."""
        while (phone := draw_phone(self.chance)) in self.by_phone:
            continue
        return phone

    def place(self, shelf: Shelf, row: Row, moment: int) -> Entry:
        """Add a new row to a shelf."""
        entry = Entry(row, moment, next(self._arrivals))
        shelf.add(entry)
        return entry

    def money(self, least: int, most: int) -> Decimal:
        """Draw an amount of money with kopecks, between two amounts in roubles."""
        return kopecks(least * 100 + int(self.chance.random() * (most - least) * 100))

    def move_points(
        self, kind: str, moment: int, points: Decimal, lot: Entry, cheque: Value = None
    ) -> None:
        """Record a true movement of points of a lot, whatever the rows show."""
        if points:
            flow = Flow(kind, moment, points, lot, cheque)
            self.flows.append(flow)
            self.flows_of_lot[lot].append(flow)
            if cheque is not None:
                self.flows_of_cheque[cheque].append(flow)

    def applies(self, share: float) -> bool:
        """Whether a convention applies now; nothing is drawn for a share of 0.

        A draw would change all that a seeded world does afterwards.
        """
        return share > 0 and self.happens(share)

    def happens(self, share: float) -> bool:
        """Draw whether something with this probability happens; also for 0, see `applies`."""
        return self.chance.random() < share

    def some_of(self, share: float) -> list[Customer]:
        """Draw about that share of all clients; whether the fraction is rounded up is drawn too."""
        everyone = list(self.customers.values())
        wanted = share * len(everyone)
        exactly = int(wanted) + (1 if self.happens(wanted % 1) else 0)
        return self.chance.sample(everyone, min(exactly, len(everyone)))

    def perhaps(self, value: Value) -> Value:
        """The value, or sometimes null; a text is sometimes empty."""
        draw = self.chance.random()
        if draw >= self.habits.nulls:
            return value
        return "" if isinstance(value, str) and draw < self.habits.nulls / 3 else None


def kopecks(number: int) -> Decimal:
    """Kopecks as roubles with two decimals."""
    return Decimal(number).scaleb(-2)
