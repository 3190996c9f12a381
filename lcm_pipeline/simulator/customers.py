"""A client of the programme, and the shelves that hold its rows.

An Entry is one row together with the moment that the service sorts by. The row is changed in place,
so that a response always contains its current state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.people import Profile


@dataclass(slots=True, eq=False)
class Entry:
    """A row, its moment in ticks, its number in order of arrival, and the shelf that holds it."""

    row: Row
    moment: int
    arrival: int
    shelf: Shelf | None = None
    bad: bool = False


class Shelf:
    """The entries of one kind of one client, sorted on demand."""

    def __init__(self) -> None:
        self._entries: dict[Entry, None] = {}
        self._sorted: list[Entry] | None = None

    def add(self, entry: Entry) -> None:
        """Add an entry, and remove it from the shelf that held it."""
        if entry.shelf is not None:
            entry.shelf.remove(entry)
        entry.shelf = self
        self._entries[entry] = None
        self._sorted = None

    def remove(self, entry: Entry) -> None:
        """Remove an entry; no shelf holds it then."""
        del self._entries[entry]
        entry.shelf = None
        self._sorted = None

    def newest_first(self) -> list[Entry]:
        """All entries by moment, ties by arrival, both descending. Do not modify the list."""
        if self._sorted is None:
            self._sorted = sorted(
                self._entries, key=lambda entry: (entry.moment, entry.arrival), reverse=True
            )
        return self._sorted

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(slots=True, eq=False)
class Offer:
    """An offer of favourites: its entry, its goods, and the interval in which it is in effect."""

    entry: Entry
    goods: list[Row]
    confirmed: int | None = None
    ends: int | None = None


@dataclass(slots=True, eq=False)
class Customer:
    """One client. heir: the client that its history was merged into."""

    id: int
    registered: int
    profile: Profile
    cards: list[int]
    heavy: bool = False
    registrations: list[Entry] = field(default_factory=list)
    shelves: defaultdict[str, Shelf] = field(default_factory=lambda: defaultdict(Shelf))
    offer_of: dict[Entry, Offer] = field(default_factory=dict)
    chosen: dict[int, Row] = field(default_factory=dict)
    lots: list[Entry] = field(default_factory=list)
    heir: Customer | None = None

    @property
    def operations(self) -> Shelf:
        """The shelf of the operations, which most of the modules use."""
        return self.shelves["operations"]

    def present(self) -> Customer:
        """The client that this one is now: itself, or the last client that it was merged into."""
        customer = self
        while customer.heir is not None:
            customer = customer.heir
        return customer
