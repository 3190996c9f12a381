"""A value that the warehouse refuses fails only its client, and is never shown."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lcm_pipeline.feeds import FAVOURITES, LEADS, OPERATIONS, Feed
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.tasks import Outcome, StagedRows, Task
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.sync.client import read_client_task
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.source import Source
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.runs import begin_run
from lcm_pipeline.warehouse.ingest.staging import make_staging
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.scripted_api import Fields, Reply, ScriptedApi, person, serving

DAYS = Window(date(2026, 3, 1), date(2026, 3, 3))
CLIENTS = range(1001, 1041)
SECRET = "+79161234567"
SUBJECT, UNREAD = 9, 11


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with serving(*map(person, CLIENTS)) as running:
        yield running


@pytest.fixture
def settings(api: ScriptedApi, warehouse: Warehouse, tmp_path: Path) -> Settings:
    return load_settings(
        api_url=api.url,
        database_url=warehouse.url,
        home=tmp_path / "home",
        start_date=DAYS.first,
        concurrency=8,
    )


def spoiling(spoilt: range | list[int], column: int, value: object, **fields: Any) -> Any:
    """Return a reader that puts a value into the leads of some clients, after all checks."""

    async def read(source: Source, feed: Feed, task: Task) -> Outcome:
        outcome = await read_client_task(source, feed, task)
        if task.client_id not in spoilt:
            return outcome
        (record,) = outcome.staged.records["leads"]
        odd = (*record[:column], value, *record[column + 1 :])
        return replace(outcome, staged=StagedRows({"leads": [odd]}, **fields))

    return read


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param(SUBJECT, f"{SECRET}\0", id="NUL"),
        pytest.param(SUBJECT, f"{SECRET}\ud800", id="half a surrogate pair"),
        pytest.param(UNREAD, SECRET, id="another type"),
        pytest.param(UNREAD, float("nan"), id="no number"),
    ],
)
def test_a_value_that_the_warehouse_refuses_fails_only_its_client(
    settings: Settings,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    column: int,
    value: object,
) -> None:
    odd = [1001, 1020, 1040]
    read = spoiling(odd, column, value)
    monkeypatch.setattr("lcm_pipeline.sync.run.read_client_task", read)
    with caplog.at_level(logging.INFO):
        report = SyncEngine(settings, warehouse).sync(LEADS, DAYS)
    assert report.pending == len(odd)
    with warehouse.connect() as session:
        stored = session.execute("select client_id from core.leads order by 1").fetchall()
        reasons = session.execute(
            "select client_id, last_error from sync.client_state where pending_since is not null"
            " order by 1"
        ).fetchall()
    assert [client for (client,) in stored] == [c for c in CLIENTS if c not in odd]
    assert [client for client, _ in reasons] == odd
    assert all("the warehouse refused a value" in reason for _, reason in reasons)
    assert SECRET not in caplog.text + str(reasons)
    monkeypatch.undo()
    assert SyncEngine(settings, warehouse).sync(LEADS, DAYS).is_complete


def test_a_field_name_too_long_for_an_index_fails_only_its_client(
    settings: Settings, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "".join(map(chr, Random(1).choices(range(0x410, 0x450), k=20_000)))
    read = spoiling([1007], UNREAD, 1, unknown_fields=frozenset({name}))
    monkeypatch.setattr("lcm_pipeline.sync.run.read_client_task", read)
    report = SyncEngine(settings, warehouse).sync(LEADS, DAYS)
    assert report.pending <= 1
    with warehouse.connect() as session:
        stored = session.execute("select count(*) from core.leads").fetchone()
    assert stored == (len(CLIENTS) - report.pending,)


def test_a_warehouse_that_refuses_every_value_stops_the_feed(
    settings: Settings, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = spoiling(CLIENTS, SUBJECT, "a\0")
    monkeypatch.setattr("lcm_pipeline.sync.run.read_client_task", read)
    with pytest.raises(SyncError, match="the warehouse rejects all"):
        SyncEngine(settings, warehouse).sync(LEADS, DAYS)


def test_staging_of_an_older_version_is_recreated(warehouse: Warehouse) -> None:
    with ReconnectingSession(warehouse, "lcm test") as reconnecting:
        run = begin_run(reconnecting, FAVOURITES.name, DAYS, Pseudonyms())
        reconnecting.run(lambda session: make_staging(session, run, FAVOURITES.tables))
        table = f"staging.favourite_stats_r{run.run_id}"
        reconnecting.run(lambda s: s.execute(f"alter table {table} drop column present".encode()))
        reconnecting.run(lambda s: s.execute(f"insert into {table} default values".encode()))
        other = f"staging.favourite_offers_r{run.run_id}"
        reconnecting.run(lambda s: s.execute(f"insert into {other} default values".encode()))
        reconnecting.run(lambda session: make_staging(session, run, FAVOURITES.tables))
        assert reconnecting.run(
            lambda s: s.execute(f"select count(present), count(*) from {table}".encode()).fetchone()
        ) == (0, 0)
        assert reconnecting.run(
            lambda s: s.execute(f"select count(*) from {other}".encode()).fetchone()
        ) == (1,)


def test_an_amount_too_large_for_its_column_quarantines_only_its_row(
    settings: Settings, warehouse: Warehouse, api: ScriptedApi
) -> None:
    amounts = {
        1002: "9999999999999999.99",
        1003: "-99999999999999999.99",
        1004: "100000000000000000.00",
        1005: "1e400",
    }

    def send_amount(name: str, request: Fields) -> Reply | None:
        amount = amounts.get(request.get("Client", 0))
        if name != "OperationHistory" or amount is None:
            return None
        body = json.dumps(api.plain(name, request), ensure_ascii=False)
        return Reply(body.replace("100.0", amount, 1).encode())

    api.rules.append(send_amount)
    report = SyncEngine(settings, warehouse).sync(OPERATIONS, DAYS)
    assert (report.pending, report.quarantined) == (0, 2)
    with warehouse.connect() as session:
        rows = session.execute(
            "select client_id, max(abs(amount)), count(*) from core.operations group by 1"
        ).fetchall()
        quarantined = session.execute(
            "select client_id, raw, reason from sync.quarantine order by 1"
        ).fetchall()
    stored = {client: (amount, count) for client, amount, count in rows}
    assert sorted(stored) == [*CLIENTS]
    assert stored[1002] == (Decimal(amounts[1002]), 2)
    assert stored[1003] == (-Decimal(amounts[1003]), 2)
    assert stored[1004] == stored[1005] == (100, 1)
    assert [client for client, _, _ in quarantined] == [1004, 1005]
    # As it was sent, so that nothing is lost.
    assert all(amounts[client] in text for client, text, _ in quarantined)
    assert all("numeric(19,2)" in reason for _, _, reason in quarantined)


def test_these_tests_spoil_the_intended_columns() -> None:
    columns = LEADS.tables[0].staging_columns
    assert (columns[SUBJECT], columns[UNREAD]) == ("subject", "unread_count")
