"""A synthetic programme of a year: when each client's data changes, endpoint by endpoint.

Times are days since midnight of the first day, as floats. For a schedule it matters less how often
clients buy than how they stop and come back, so each client that is ever active alternates between
alive and dormant periods. Some data changes without the client: points become usable, offers are
sent, leads change their status.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAYS = 365
ENDPOINTS = ("operations", "leads", "favourites")

NEVER_ACTIVE = 0.3
VISITS_PER_DAY = 1 / 25
VISITS_SHAPE = 0.6
ALIVE_DAYS, DORMANT_DAYS = 90.0, 120.0
_MAX_PERIODS = 24
_PEAK = 2.2
_NOON = 0.5


@dataclass(frozen=True)
class Changes:
    """The changes of one endpoint, in order of time: the client, and when."""

    client: Ints
    moment: Floats


@dataclass(frozen=True)
class Population:
    """registered: the day at whose noon each client registered, -1 if it was before the year."""

    registered: Ints
    changes: dict[str, Changes]


def invent_population(clients: int, seed: int) -> Population:
    """Invent a programme; equal seeds give equal programmes."""
    chance = np.random.default_rng(seed)
    registered = np.where(chance.random(clients) < 0.8, -1, chance.integers(0, DAYS, clients))
    buyers, visits = _visits(chance, clients)
    follow_ups = chance.random(len(visits))
    operations = [
        (buyers, visits),
        # Points of a purchase become usable after two weeks; some expire after half a year.
        (buyers[follow_ups < 0.6], np.floor(visits[follow_ups < 0.6]) + 15),
        (buyers[follow_ups < 0.2], np.floor(visits[follow_ups < 0.2]) + 181),
    ]
    parts = {
        "operations": operations,
        "leads": _leads(chance, clients, buyers),
        "favourites": _favourites(chance, clients, buyers, visits),
    }
    return Population(registered, {name: _merged(p, registered) for name, p in parts.items()})


def _visits(chance: np.random.Generator, clients: int) -> tuple[Ints, Floats]:
    """Purchases: gamma-Poisson rates, thinned by season, weekday and dormancy."""
    rates = chance.gamma(VISITS_SHAPE, VISITS_PER_DAY / VISITS_SHAPE, clients)
    rates[chance.random(clients) < NEVER_ACTIVE] = 0
    counts = chance.poisson(rates * _PEAK * DAYS)
    client = np.repeat(np.arange(clients), counts)
    day = chance.integers(0, DAYS, len(client))
    moment = day + chance.triangular(9, 18, 22, len(client)) / 24
    season = 1 + 0.25 * np.sin(2 * np.pi * day / DAYS) + 0.5 * (day >= DAYS - 31)
    weekend = np.where(day % 7 >= 5, 1.25, 0.9)
    kept = chance.random(len(client)) * _PEAK < season * weekend
    kept &= _is_alive(chance, clients, client, moment)
    return client[kept], moment[kept]


def _is_alive(
    chance: np.random.Generator, clients: int, client: Ints, moment: Floats
) -> NDArray[np.bool_]:
    """Whether each moment is in an alive period of its client; the periods alternate."""
    begins_alive = chance.random(clients) < ALIVE_DAYS / (ALIVE_DAYS + DORMANT_DAYS)
    numbers = np.arange(_MAX_PERIODS)
    is_alive = (numbers[None, :] % 2 == 0) == begins_alive[:, None]
    lengths = chance.exponential(np.where(is_alive, ALIVE_DAYS, DORMANT_DAYS))
    ends = np.cumsum(lengths, axis=1)
    period = (ends[client] <= moment[:, None]).sum(axis=1).clip(max=_MAX_PERIODS - 1)
    found: NDArray[np.bool_] = is_alive[client, period]
    return found


def _leads(chance: np.random.Generator, clients: int, buyers: Ints) -> list[tuple[Ints, Floats]]:
    """Leads, mostly of buyers; each changes a few times, and a few are reopened much later."""
    owners = np.concatenate(
        [chance.choice(buyers, int(clients * 0.3)), chance.integers(0, clients, clients // 20)]
    )
    opened = chance.random(len(owners)) * DAYS
    taken_up = opened + chance.exponential(0.7, len(owners))
    closed = taken_up + chance.exponential(2.0, len(owners))
    again = chance.random(len(owners)) < 0.05
    reopened = closed[again] + chance.uniform(20, 120, int(again.sum()))
    return [
        (owners, opened),
        (owners, taken_up),
        (owners, closed),
        (owners[again], reopened),
    ]


def _favourites(
    chance: np.random.Generator, clients: int, buyers: Ints, visits: Floats
) -> list[tuple[Ints, Floats]]:
    """Participants' totals change with purchases; offers are sent monthly, confirmed, and end."""
    takes_part = chance.random(clients) < 0.35
    of_participants = takes_part[buyers]
    parts = [(buyers[of_participants], visits[of_participants])]
    for month in range(0, DAYS, 30):
        offered = np.flatnonzero(takes_part & (chance.random(clients) < 0.5))
        confirmed = offered[chance.random(len(offered)) < 0.3]
        parts.append((offered, np.full(len(offered), month + 10 / 24)))
        parts.append((confirmed, month + 10 / 24 + chance.exponential(3, len(confirmed))))
        parts.append((offered, np.full(len(offered), month + 20.0)))
    return parts


def _merged(parts: list[tuple[Ints, Floats]], registered: Ints) -> Changes:
    """All changes of clients while they are registered, within the year, in order of time."""
    client = np.concatenate([part[0] for part in parts])
    moment = np.concatenate([part[1] for part in parts])
    kept = (moment < DAYS) & (moment >= registered[client] + _NOON)
    order = np.argsort(moment[kept], kind="stable")
    return Changes(client[kept][order], moment[kept][order])
