"""A programme and a roster to push to, updates for it, and the expected results.

The expected results are computed here independently, from the documented rules and not with the
code under test.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.profiles import PROFILE_FIELDS
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.migrations import migrate
from tests.crash.victim import address_of
from tests.outbox import Update, ask_for, enrol

_VENDOR = {one.column: one.vendor for one in PROFILE_FIELDS}
_NAMES = ("Анна", "Ольга", "Иван")
_SURNAMES = ("Лебедева", "Козлова")
_TOO_LONG = "Я" * 21
_UNKNOWN_CLIENT = 5
_LOST_RESPONSES = ("reset", "disconnect", "server_error", "truncated_json")
_numbers = itertools.count(1)

Sequences = dict[int, list[dict[str, Any]]]


@dataclass
class Wishes:
    """Updates in order, the values that each client must be sent, and the expected statuses."""

    updates: list[Update]
    sequences: Sequences = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)


@dataclass
class PushScene:
    """One programme and a database to start from, on one embedded server."""

    url: str
    home: Path
    simulator: RunningSimulator
    template: str
    clients: list[int]
    taken_email: str

    @contextmanager
    def clone(self) -> Iterator[Warehouse]:
        """Clone a warehouse with a roster and an empty outbox."""
        name = f"push_{os.getpid()}_{next(_numbers)}"
        _administer(self.url, "create database {} template {}", name, self.template)
        try:
            yield Warehouse(address_of(self.url, name))
        finally:
            _administer(self.url, "drop database {} with (force)", name)

    def wish(self, chance: Random, count: int, *, once_each: bool) -> Wishes:
        """Draw updates; some repeat or contradict each other, or break a rule."""
        clients = self.clients[1:]
        if once_each:
            clients = chance.sample(clients, len(clients))
        updates = []
        for number in range(count if not once_each else len(clients)):
            client = clients[number] if once_each else chance.choice(clients)
            if chance.random() < 0.06:
                client = _UNKNOWN_CLIENT
            updates.append((client, self._fields(chance)))
        return _expect(Wishes(updates), self.taken_email)

    def disturb(self, chance: Random) -> None:
        """Make the service slow, and lose some responses to updates that may have been applied."""
        rules = tuple(
            FaultRule(
                kind=chance.choice(_LOST_RESPONSES),
                endpoint="ClientUpdate",
                seed=chance.randrange(99),
                probability=chance.choice((0.0, 0.05, 0.15)),
                applied=chance.random() < 0.7,
            )
            for _ in range(2)
        )
        service = self.simulator.service
        service.faults.set(rules)
        service.faults.struck.clear()
        self._set_latency(chance.choice((0, 10, 40)))

    def hold_response(self, nth: int) -> None:
        """Apply one update and withhold its response."""
        faults = self.simulator.service.faults
        rule = FaultRule(
            kind="timeout", endpoint="ClientUpdate", nth=nth, applied=True, seconds=10.0
        )
        faults.set((rule, *faults.rules))
        faults.struck.clear()

    def apply_late(self) -> int:
        """Apply updates a while after they arrive; returns how many have arrived so far."""
        self._set_latency(600)
        return self.arrived

    def apply_at_once(self) -> None:
        """Apply updates without delay from now on; those that have arrived are still late."""
        self._set_latency(0)

    @property
    def arrived(self) -> int:
        """The number of updates that have arrived so far."""
        return int(self.simulator.service.traffic.counts()["by_endpoint"].get("ClientUpdate", 0))

    def release_responses(self) -> None:
        """Withhold no response any more."""
        faults = self.simulator.service.faults
        others = tuple(rule for rule in faults.rules if rule.kind != "timeout")
        # Setting the same rules again resets their random numbers: one update might fail forever.
        if others != faults.rules:
            faults.set(others)

    @property
    def has_struck(self) -> bool:
        """Whether a response is withheld."""
        return self.simulator.service.faults.struck["timeout"] > 0

    def _set_latency(self, milliseconds: int) -> None:
        desk = self.simulator.service.desk
        desk.quirks = type(desk.quirks)(latency_ms=milliseconds)

    def _fields(self, chance: Random) -> dict[str, Any]:
        drawn = {
            "name": chance.choice(_NAMES),
            "surname": chance.choice(_SURNAMES),
            "allow_sms": chance.random() < 0.5,
            "birthdate": date(1990, 5, chance.randint(1, 3)),
            "gender": chance.choice((-1, 1)),
            "contragent_id": f"c-{chance.randint(1, 3)}",
        }
        fields = {name: drawn[name] for name in chance.sample(list(drawn), chance.randint(1, 3))}
        if chance.random() < 0.1:
            fields["email"] = self.taken_email
        if chance.random() < 0.1:
            fields["patronymic"] = _TOO_LONG
        return fields


@contextmanager
def open_push_scene(url: str, home: Path, *, seed: int, clients: int = 7) -> Iterator[PushScene]:
    """Make a programme and a database with its clients on the roster."""
    config = build_config(
        start=date(2026, 3, 1), now=datetime(2026, 3, 8, 12), clients=clients, seed=seed
    )
    with RunningSimulator(config) as simulator:
        template = f"pushing_{os.getpid()}_{next(_numbers)}"
        _administer(url, "create database {}", template)
        warehouse = Warehouse(address_of(url, template))
        migrate(warehouse)
        ids = enrol(warehouse, simulator)
        programme = simulator.world.programme
        owner = programme.customers[ids[0]]
        owner.profile.Email = "taken@example.org"
        programme.by_email["taken@example.org"] = owner
        yield PushScene(url, home, simulator, template, ids, "taken@example.org")
        _administer(url, "drop database {} with (force)", template)


def store(warehouse: Warehouse, wishes: Wishes) -> None:
    """Insert the updates into the outbox with SQL."""
    ask_for(warehouse, wishes.updates)


def as_csv(wishes: Wishes) -> bytes:
    """The updates as the content of a CSV file."""
    columns = sorted({name for _, fields in wishes.updates for name in fields})
    lines = [";".join(("client_id", *columns))]
    for client, fields in wishes.updates:
        lines.append(";".join((str(client), *(str(fields.get(c, "")) for c in columns))))
    return "\n".join(lines).encode("utf-8-sig")


def sequences_of(updates: list[dict[str, Any]]) -> Sequences:
    """The updates that a source applied, by client; immediate repetitions count once."""
    sequences: Sequences = {}
    for update in updates:
        values = {n: v for n, v in update.items() if n not in ("Client", "ErrorCode", "Message")}
        so_far = sequences.setdefault(update["Client"], [])
        if not so_far or so_far[-1] != values:
            so_far.append(values)
    return sequences


def _expect(wishes: Wishes, taken_email: str) -> Wishes:
    known: dict[int, dict[str, Any]] = {}
    for client, fields in wishes.updates:
        if client == _UNKNOWN_CLIENT or fields.get("patronymic") == _TOO_LONG:
            wishes.statuses.append("rejected")
            continue
        current = known.setdefault(client, {})
        changed = {name: value for name, value in fields.items() if current.get(name) != value}
        is_partial = changed.get("email") == taken_email
        for name, value in changed.items():
            current[name] = None if is_partial else value
        wishes.statuses.append("partial" if is_partial else "sent")
        if changed:
            sequence = wishes.sequences.setdefault(client, [])
            sent = {_VENDOR[name]: _as_applied(value) for name, value in changed.items()}
            if not sequence or sequence[-1] != sent:
                sequence.append(sent)
    return wishes


def _as_applied(value: Any) -> Any:
    from lcm_pipeline.simulator.moments import read_moment

    return read_moment(str(value)) if isinstance(value, date) else value


def _administer(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(SQL(statement).format(*map(Identifier, names)))
