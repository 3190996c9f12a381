"""Compares clients, cards and names with the rows of a simulated programme that contain them."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from psycopg.sql import SQL, Identifier

from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.documented import moment_of
from tests.oracle import MOSCOW, day_of


def check_small_tables(source: RunningSimulator, warehouse: Warehouse, *, last: date) -> None:
    """Check that clients, cards and names agree with the rows that contain them."""
    truth = source.world.truth()
    registrations = [r for r in truth["registrations"] if day_of(r["RegDate"], MOSCOW) <= last]
    first: dict[int, datetime | None] = {}
    for row in registrations:
        first.setdefault(row["Client"], moment_of(row["RegDate"]))
    phones = {row["Client"]: row["Phone"] for row in source.world.profile_rows()}
    with warehouse.connect() as session:
        clients = session.execute("select client_id, registered_at, phone from core.clients")
        assert {row[0]: row[1:] for row in clients} == {
            client: (moment, phones[client]) for client, moment in first.items()
        }
        cards = session.execute("select card_number, client_id, card_status from core.cards")
        assert {row[0]: row[1:] for row in cards} == {
            row["Card"]: (row["Client"], row["Card_Status"]) for row in registrations
        }
    operations = truth["operations"]
    goods = truth["favourite_goods"]
    for table, key, names in (
        ("points_of_sale", "pos_id", _names(operations, "Pos", "PosName")),
        ("bonus_sources", "bonus_source", _names(operations, "BonusSource", "BonusSourceName")),
        ("goods", "list_data_id", _names(goods, "ListDataId", "Name")),
    ):
        _check_names(warehouse, table, key, names)


def _check_names(warehouse: Warehouse, table: str, key: str, sent: dict[Any, set[str]]) -> None:
    statement = SQL("select {}, name from core.{}").format(Identifier(key), Identifier(table))
    with warehouse.connect() as session:
        stored = dict(session.execute(statement).fetchall())
    wrong = {
        number: name
        for number, name in stored.items()
        if sent.get(number) and name not in sent[number]
    }
    assert not wrong, f"{table} has names that the source never sent: {wrong}"
    missing = {number for number, names in sent.items() if names and number not in stored}
    assert not missing, f"{table} lacks {missing}"


def _names(rows: Iterable[Mapping[str, Any]], key: str, name: str) -> dict[Any, set[str]]:
    found: dict[Any, set[str]] = {}
    for row in rows:
        number = row.get(key)
        if isinstance(number, int) and number < 2**63:
            found.setdefault(number, set())
            if row.get(name):
                found[number].add(row[name])
    return found
