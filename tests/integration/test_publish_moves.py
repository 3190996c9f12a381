"""Rows that move to another day within a delta, combined with other changes of their client.

A delta has the new and changed rows of a client and its total. The publish searches for moved rows
if the total allows for one. Here random histories change in every way at once, and after each
publish no row may be live on two days.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import pytest

from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.tables import leads
from lcm_pipeline.model.tasks import BadRow, Outcome, StagedRows, Task
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest import tasks
from lcm_pipeline.warehouse.ingest.publish import publish
from lcm_pipeline.warehouse.ingest.runs import begin_run, finish_run
from lcm_pipeline.warehouse.ingest.staging import make_staging
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.ledger import claim_clients

FIRST = date(2026, 1, 1)
CLIENTS = range(1, 7)
BAD = "bad"

Where = date | Literal["bad"]


@dataclass
class Client:
    """The rows of a client in the source, and as the warehouse has read them.

    source: the day of each row, or "bad" for a row that goes to the quarantine. known: the same at
    the last reading, which has not noticed rows that vanished outside of it.
    """

    source: dict[int, Where] = field(default_factory=dict)
    known: dict[int, Where] = field(default_factory=dict)
    total: int = 0
    version: int = 0
    next_id: int = 1

    def change(self, kind: str, chance: random.Random) -> None:
        """Apply one change to the client."""
        if kind in ("new", "new bad"):
            self.source[self.next_id] = BAD if kind == "new bad" else _day(chance)
            self.next_id += 1
            return
        have = sorted(
            key for key, where in self.source.items() if (where == BAD) == (kind == "mend")
        )
        if not have:
            return
        row = chance.choice(have)
        if kind == "vanish":
            del self.source[row]
        else:
            self.source[row] = BAD if kind == "go bad" else _day(chance)


KINDS = ("new", "new", "move", "move", "vanish", "new bad", "go bad", "mend")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("seed", range(6))
def test_no_row_is_live_on_two_days_after_any_delta(warehouse: Warehouse, seed: int) -> None:
    chance = random.Random(seed)
    clients = {number: Client() for number in CLIENTS}
    for number in range(12):
        for client in clients.values():
            for kind in chance.choices(KINDS, k=chance.randint(0, 4)):
                client.change(kind, chance)
        reading: Literal["delta", "full"] = "full" if number % 5 == 0 else "delta"
        _publish(warehouse, clients, FIRST + timedelta(days=number), reading)
        assert _live(warehouse) == _expected(clients), (seed, number)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(("move",), id="alone"),
        pytest.param(("move", "vanish"), id="while another vanished"),
        pytest.param(("move", "new bad"), id="while a new one went into quarantine"),
        pytest.param(("move", "go bad", "mend"), id="while one went bad and one was corrected"),
        pytest.param(("move", "new", "new"), id="with new ones"),
        pytest.param(("vanish", "new"), id="after another vanished"),
    ],
)
def test_a_row_that_moves_leaves_its_day(warehouse: Warehouse, kinds: tuple[str, ...]) -> None:
    for seed in range(4):
        chance = random.Random(seed)
        clients = {number: Client() for number in CLIENTS}
        for client in clients.values():
            for kind in ("new", "new", "new", "new", "new bad"):
                client.change(kind, chance)
        _publish(warehouse, clients, FIRST, "full")
        for client in clients.values():
            for kind in kinds:
                client.change(kind, chance)
        _publish(warehouse, clients, FIRST + timedelta(days=1), "delta")
        assert _live(warehouse) == _expected(clients)


def _day(chance: random.Random) -> date:
    return FIRST + timedelta(days=chance.randrange(90))


def _publish(
    warehouse: Warehouse,
    clients: dict[int, Client],
    day: date,
    reading: Literal["delta", "full"],
) -> None:
    window = Window(day, day)
    with ReconnectingSession(warehouse, "test") as reconnecting:
        run = begin_run(reconnecting, "leads", window, Pseudonyms())
        reconnecting.run(lambda session: make_staging(session, run, (leads,)))
        claimed = reconnecting.run(lambda session: claim_clients(session, run, CLIENTS))
        outcomes = [
            _outcome(claimed[number], client, reading) for number, client in clients.items()
        ]
        reconnecting.run(lambda session: tasks.record_outcomes(session, run, (leads,), outcomes))
        reconnecting.run(
            lambda session: publish(session, run, (leads,), delete_fuse=1, growth_fuse=0)
        )
        versions = reconnecting.run(_versions)
        finish_run(reconnecting, run, None, leaves_tasks=True)
    for number, client in clients.items():
        client.version = versions[number]


def _outcome(task: Task, client: Client, reading: Literal["delta", "full"]) -> Outcome:
    """Return the outcome of a reading and update what is known."""
    number = task.client_id
    assert number is not None
    brought = {
        row: where
        for row, where in client.source.items()
        if reading == "full" or client.known.get(row) != where
    }
    if reading == "full":
        client.known = {}
    for row, where in brought.items():
        # A delta keeps the old version of a row that went bad; only a full reading replaces it.
        if where != BAD or row not in client.known:
            client.known[row] = where
    client.total = len(client.source)
    return Outcome(
        replace(task, version=client.version),
        "done",
        datetime.now(UTC),
        StagedRows(
            {leads.name: [_record(number, row, d) for row, d in brought.items() if d != BAD]},
            [_bad_row(number, row) for row, where in brought.items() if where == BAD],
        ),
        reading=reading,
        source_total=client.total,
        fingerprint=repr(sorted(client.source.items(), key=str)).encode(),
    )


def _record(client_id: int, row: int, day: Where) -> tuple[object, ...]:
    values = {
        "lead_date": day,
        "client_id": client_id,
        "lead_id": row,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return tuple(values.get(name) for name in leads.staging_columns)


def _bad_row(client_id: int, row: int) -> BadRow:
    return BadRow(leads.name, client_id, row.to_bytes(16), "no such thing", "{}")


def _versions(session: Session) -> dict[int, int]:
    return dict(session.execute("select client_id, version from sync.client_state").fetchall())


def _live(warehouse: Warehouse) -> list[tuple[int, int, date]]:
    with warehouse.connect() as session:
        return session.execute(
            "select client_id, lead_id, lead_date from core.leads where deleted_at is null"
            " order by 1, 2, 3"
        ).fetchall()


def _expected(clients: dict[int, Client]) -> list[tuple[int, int, date]]:
    return sorted(_rows_known(clients))


def _rows_known(clients: dict[int, Client]) -> Iterator[tuple[int, int, date]]:
    for number, client in clients.items():
        for row, where in client.known.items():
            if where != BAD:
                yield number, row, where
