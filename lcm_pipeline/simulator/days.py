"""What a day of the programme brings, planned at its midnight.

Until the end of the opening, newcomers are a given number; later days go on at the same pace, for
as long as the clock is moved.
"""

from math import ceil

from lcm_pipeline.simulator import bonuses, purchases, registrations
from lcm_pipeline.simulator.endpoints import ENDPOINTS
from lcm_pipeline.simulator.moments import DAY, HOUR, MINUTE, moment_within
from lcm_pipeline.simulator.programme import Programme


class Calendar:
    """Plans the days: the first ones with their given newcomers, then one after another."""

    def __init__(self, programme: Programme, *, clients: int, start: int, opening_end: int) -> None:
        self._programme = programme
        self._start = start
        self._opening_end = opening_end
        self._pace = clients / max(1, ceil((opening_end - start) / DAY))
        for number in range(clients):
            heavy = number == 0 and programme.habits.heavy_operations > 0
            registrations.plan_registration(
                programme, self._first_moment(heavy=heavy), opening_end, heavy=heavy
            )
        programme.agenda.at(start, self._begin, start)

    def _first_moment(self, *, heavy: bool) -> int:
        """A moment of the opening; the heavy client is there from the first morning."""
        chance = self._programme.chance
        if heavy:
            return self._start + 9 * HOUR
        anywhere = self._start + int(chance.random() * (self._opening_end - self._start))
        moment = moment_within(chance, anywhere - anywhere % DAY)
        return moment if moment < self._opening_end else anywhere - anywhere % MINUTE

    def _begin(self, day: int) -> None:
        programme = self._programme
        programme.agenda.at(day + DAY, self._begin, day + DAY)
        programme.agenda.at(day + 3 * HOUR, bonuses.give_promotions, programme, day + 3 * HOUR)
        programme.agenda.at(day + 4 * HOUR, registrations.change_some_cards, programme)
        programme.agenda.at(day + 5 * HOUR, registrations.merge_some, programme)
        for endpoint in ENDPOINTS.values():
            if endpoint.each_day is not None:
                endpoint.each_day(programme, day)
        if day + DAY > self._opening_end:
            self._plan_newcomers(day)
            self._plan_visits(day)

    def _plan_newcomers(self, day: int) -> None:
        chance = self._programme.chance
        for _ in range(int(self._pace * (0.5 + chance.random()) + chance.random())):
            moment = moment_within(chance, day)
            if moment >= self._opening_end:
                registrations.plan_registration(self._programme, moment, moment, heavy=False)

    def _plan_visits(self, day: int) -> None:
        programme = self._programme
        visitors = programme.some_of(programme.habits.visits_daily)
        visitors += [c for c in programme.customers.values() if c.heavy] * 3
        for customer in visitors:
            moment = moment_within(programme.chance, day)
            if moment >= max(self._opening_end, customer.registered):
                purchases.plan_visit(programme, customer, moment)
                if programme.happens(programme.habits.tied):
                    purchases.plan_visit(programme, customer, moment)
