"""The world under test: a programme, its clock, and the truth about what it holds now.

A World may be used from the thread that serves it and from a test's own thread: hold `lock` to read
or change it.
"""

from datetime import date, datetime, timedelta
from threading import RLock
from typing import Any

from lcm_pipeline.simulator import favourites, mutations
from lcm_pipeline.simulator.days import Calendar
from lcm_pipeline.simulator.endpoints import SHELVES
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.moments import datetime_of, day_start, ticks_of
from lcm_pipeline.simulator.profiles import Profiles
from lcm_pipeline.simulator.programme import Programme
from lcm_pipeline.simulator.quirks import Habits


class World:
    """A loyalty programme with `clients` clients that registered from `start` to `opening_end`.

    Without an `opening_end` that is `now`. With one, worlds that differ in `now` alone are one
    programme at two moments: what happened by the earlier one is the same in both.
    """

    def __init__(
        self,
        seed: int,
        clients: int,
        *,
        start: date,
        now: datetime,
        opening_end: datetime | None = None,
        habits: Habits | None = None,
    ) -> None:
        beginning, present = day_start(start), ticks_of(now)
        opening = present if opening_end is None else ticks_of(opening_end)
        if present < beginning:
            raise ValueError(f"the world cannot be at {now} before it starts on {start}")
        self.lock = RLock()
        self.programme = Programme(seed, habits or Habits(), beginning)
        Calendar(self.programme, clients=clients, start=beginning, opening_end=opening)
        self.programme.agenda.run_until(present)
        self.profiles = Profiles(self.programme)

    @property
    def now(self) -> datetime:
        """The world's clock, naive Moscow time, cut to microseconds."""
        return datetime_of(self.programme.agenda.now)

    def advance(self, to: datetime | None = None, *, days: float = 0) -> datetime:
        """Move the clock to a moment, or on by days; what is due on the way happens."""
        moment = to if to is not None else self.now + timedelta(days=days)
        with self.lock:
            if ticks_of(moment) < ticks_of(self.now):
                raise ValueError(f"the clock is at {self.now} and does not go back to {moment}")
            self.programme.agenda.run_until(ticks_of(moment))
        return self.now

    def truth(self) -> dict[str, list[Row]]:
        """All rows that the source holds now, as served, by table."""
        with self.lock:
            everyone = self.programme.customers.values()
            return {
                "registrations": [dict(entry.row) for entry in self.programme.registrations],
                **{
                    endpoint.table or shelf: [
                        {"Client": customer.id, **entry.row}
                        for customer in everyone
                        for entry in customer.shelves[shelf]
                    ]
                    for shelf, endpoint in SHELVES.items()
                },
                "favourite_goods": [
                    {"Client": customer.id, "ClientFavoriteId": made.entry.row["Id"], **good}
                    for customer in everyone
                    for made in customer.offer_of.values()
                    if made.entry.shelf is not None
                    for good in made.goods
                ],
                "favourite_groups": [
                    {"Client": customer.id, **row}
                    for customer in everyone
                    for row in customer.chosen.values()
                ],
                "favourite_stats": [
                    {"Client": customer.id, **favourites.statistics(customer)}
                    for customer in everyone
                ],
                "bad_rows": [
                    {"Client": customer.id, **entry.row}
                    for customer in everyone
                    for entry in customer.operations
                    if entry.bad
                ],
            }

    def mutate(self, action: str, client: int, *, kind: str = "operations") -> bool:
        """Change a client's rows at once, as `mutations` describes; False if nothing was there."""
        with self.lock:
            return mutations.mutate(self.programme, action, client, kind=kind)

    def merge(self, source: int, target: int) -> None:
        """Move the history of one client to another now."""
        with self.lock:
            mutations.merge_clients(self.programme, source, target)

    def profile_rows(self) -> list[dict[str, Any]]:
        """Every client's profile, in the vendor's spelling."""
        with self.lock:
            return self.profiles.rows()
