"""Disclosure of one person: every row of the client is in the document, and none of another."""

import io
import json
import re
import stat
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.forgotten import ForgottenKeyError
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.privacy.disclosure import Disclosure, disclose
from lcm_pipeline.warehouse.privacy.forgetting import forget, refresh_marts_of_clients
from tests.commands import run
from tests.conftest import MakeSettings, Programme
from tests.databases import fetch_rows, fetch_value
from tests.integration.postgres_users import address, tenant
from tests.syncing import sync_everything

KEY = b"a key of sixteen bytes or more"
# What the tables of the warehouse are, asked of Postgres without the statements of the product.
_TABLES_OF_CLIENTS = """
    select pg_class.relnamespace::regnamespace::text, pg_class.relname, attname
    from pg_class join pg_attribute on attrelid = pg_class.oid
    where attname in ('client_id', 'current_client_id') and not relispartition
      and relkind in ('r', 'p', 'm') and relnamespace::regnamespace::text
      in ('core', 'history', 'mart', 'refresh', 'sync', 'staging', 'outbox')
"""


@pytest.fixture
def person(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> tuple[RunningSimulator, int]:
    """A synced programme, and a client with rows of all kinds and an attempted profile update."""
    source = programme(clients=12, habits=("bad_rows=0.05", "leads_daily=0.3", "merged_daily=0"))
    settings = make_settings(source, warehouse, delete_fuse=1.0)
    sync_everything(settings, warehouse)
    client = fetch_value(
        warehouse,
        "select operations.client_id from core.operations"
        " join core.leads using (client_id) join core.cards using (client_id)"
        " join core.clients using (client_id) where clients.phone is not null"
        " group by 1 order by count(*) desc limit 1",
    )
    with warehouse.connect() as session:
        session.execute(
            "insert into outbox.profile_updates (client_id, name, email)"
            " values (%s, 'Анна', 'anna@example.ru'), (%s, 'Борис', null)",
            (client, min(set(source.world.programme.customers) - {client})),
        )
        session.execute("insert into outbox.pushes (last_update_id) values (2)")
        session.execute(
            "insert into outbox.attempts (update_id, attempt_number, push_id, field_names)"
            " select update_id, 1, pushes.push_id, '{name}'"
            " from outbox.profile_updates, outbox.pushes"
        )
    source.world.mutate("insert_top", client)
    sync_everything(settings, warehouse)
    refresh_marts(warehouse)
    return source, client


def document_of(
    warehouse: Warehouse, client: int, keys: Sequence[bytes] = ()
) -> tuple[dict[str, Any], Disclosure]:
    """The document, with decimals as they were written, and what the command reports."""
    file = io.BytesIO()
    disclosed = disclose(warehouse, client, file, keys)
    return json.loads(file.getvalue(), parse_float=Decimal), disclosed


def rows_of(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {table["name"]: table["rows"] for table in document["tables"]}


def test_every_row_of_the_client_is_listed_and_none_of_another(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    source, client = person
    document, disclosed = document_of(warehouse, client)
    listed = rows_of(document)
    expected: dict[str, int] = {"outbox.attempts": 1}
    with warehouse.connect() as session:
        for schema, table, column in session.execute(_TABLES_OF_CLIENTS).fetchall():
            found = session.execute(
                SQL("select count(*) from {} where {} = %s").format(
                    Identifier(schema, table), Identifier(column)
                ),
                (client,),
            ).fetchone()
            if found and found[0]:
                expected[f"{schema}.{table}"] = found[0]
    assert {name: len(rows) for name, rows in listed.items()} == expected
    assert (disclosed.tables, disclosed.rows) == (len(expected), sum(expected.values()))
    assert disclosed.other_tables == document["other_tables"] == []
    assert list(listed) == sorted(listed)
    assert {"core.operations", "sync.client_state", "mart.leads_sla"} <= expected.keys()
    assert {row["client_id"] for rows in listed.values() for row in rows if "client_id" in row} == {
        client
    }
    numbers = set(re.findall(r"\d{7,}", json.dumps(document, default=str)))
    for row in source.world.profile_rows():
        if row["Client"] != client:
            assert str(row["Phone"]) not in numbers
    for row in source.world.truth()["registrations"]:
        assert (str(row["Card"]) in numbers) == (row["Client"] == client)
    assert "Борис" not in json.dumps(document, default=str, ensure_ascii=False)


def test_values_are_those_of_the_source_and_exact(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    source, client = person
    document, _ = document_of(warehouse, client)
    listed = rows_of(document)
    [profile] = [row for row in source.world.profile_rows() if row["Client"] == client]
    assert [row["phone"] for row in listed["core.clients"]] == [profile["Phone"]]
    cards = {
        row["Card"] for row in source.world.truth()["registrations"] if row["Client"] == client
    }
    assert {row["card_number"] for row in listed["core.cards"]} == cards
    assert [row["name"] for row in listed["outbox.profile_updates"]] == ["Анна"]
    sums = fetch_rows(
        warehouse,
        "select component_type, operation_id, amount, processed_at from core.operations"
        f" where client_id = {client} and amount is not null",
    )
    stored = {
        (row["component_type"], row["operation_id"]): row for row in listed["core.operations"]
    }
    assert sums
    for kind, operation, amount, at in sums:
        row = stored[kind, operation]
        assert Decimal(row["amount"]) == amount
        assert datetime.fromisoformat(row["processed_at"]) == at
    assert document["phones_and_cards_are_hashed"] is False
    comments = {table["name"]: table["comment"] for table in document["tables"]}
    assert comments["core.cards"] == fetch_value(
        warehouse, "select obj_description('core.cards'::regclass)"
    )


def test_equal_warehouses_give_equal_rows_and_text_is_readable(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    disclose(warehouse, person[1], first, [])
    with warehouse.connect() as session:
        # Rows move to other places.
        session.execute("update core.operations set synced_at = synced_at")
        session.execute("update sync.client_state set feed = feed")
    disclose(warehouse, person[1], second, [])
    beginning = b'"tables"'
    assert first.getvalue().partition(beginning)[2] == second.getvalue().partition(beginning)[2]
    assert "Анна".encode() in first.getvalue()


def test_a_quarantined_row_without_a_client_is_listed_if_it_names_a_number_of_the_person(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    card, other = (
        fetch_value(
            warehouse, f"select min(card_number) from core.cards where client_id {sign} {client}"
        )
        for sign in ("=", "<>")
    )
    with warehouse.connect() as session:
        for digest, client_id, number in ((1, None, card), (2, None, other), (3, 1, card)):
            session.execute(
                "insert into sync.quarantine"
                " (feed, client_id, row_digest, table_name, reason, raw, sync_run_id)"
                " select 'registrations', %s, %s, 'registrations', 'no Client', %s, max(run_id)"
                " from sync.runs",
                (client_id, bytes([digest]), f'{{"Card": {number}}}'),
            )
    document, _ = document_of(warehouse, client)
    found = [row for row in rows_of(document)["sync.quarantine"] if row["reason"] == "no Client"]
    assert [row["row_digest"] for row in found] == ["\\x01"]


def test_of_an_erased_person_only_the_erasure_is_listed(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    receipt = forget(warehouse, client, [KEY], Pseudonyms())
    refresh_marts_of_clients(warehouse)
    document, _ = document_of(warehouse, client, [KEY])
    assert document["forgotten_at"]
    [(name, [row])] = rows_of(document).items()
    assert (name, row["client_hash"]) == ("sync.forgotten_clients", f"\\x{receipt.client_hash}")
    assert row["receipt"] == vars(receipt)
    with pytest.raises(ForgottenKeyError):
        document_of(warehouse, client)


def test_hashed_numbers_are_marked(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=2)
    settings = make_settings(source, warehouse, pseudonym_key=KEY.decode())
    sync_everything(settings, warehouse)
    client = min(source.world.programme.customers)
    document, _ = document_of(warehouse, client, [KEY])
    assert document["phones_and_cards_are_hashed"] is True
    assert all(row["card_number"] < -(2**62) for row in rows_of(document)["core.cards"])


def test_tables_of_others_are_named_and_not_copied(
    person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    _, client = person
    with warehouse.connect() as session:
        session.execute("create table mart.targets as select %s::text as client_id", (client,))
        # Copies of a month are named as the months of the warehouse.
        session.execute("create table core.leads_202311 as select %s::text as client_id", (client,))
        session.execute(
            "create table core.clients_kept as select * from core.clients where client_id = %s",
            (client,),
        )
        session.execute(
            "create table core.nobody as select -1 as client_id, -2 as current_client_id"
        )
        session.execute(
            "create materialized view mart.empty as select client_id from core.clients with no data"
        )
    document, disclosed = document_of(warehouse, client)
    named = ["core.clients_kept", "core.leads_202311", "mart.targets"]
    assert disclosed.other_tables == document["other_tables"] == named
    assert rows_of(document).keys().isdisjoint(named)
    with pytest.raises(UsageError, match=r"client 42 is not known.* lcm sql"):
        document_of(warehouse, 42)


def test_who_may_not_read_a_table_gets_no_document(tmp_path: Path, postgres: str) -> None:
    with tenant(postgres, owns=False) as made:
        migrate(Warehouse(address(postgres, database=made.database)))
        made.run("insert into core.clients (client_id, sync_run_id, first_seen_at, synced_at)"
                 " values (1001, 1, now(), now())")  # fmt: skip
        made.run("grant lcm_loader to {user}")
        words, variables = ("disclose", "1001", "--output", "x"), {"LCM_DATABASE_URL": made.url}
        written = run(tmp_path, *words, **variables)
        assert written.returncode == 0, written.stderr
        (tmp_path / "x").unlink()
        made.run("revoke select on outbox.attempts, sync.quarantine from lcm_loader")
        refused = run(tmp_path, *words, **variables)
        assert refused.returncode == 2, refused.stderr
        assert "may not read outbox.attempts, sync.quarantine." in refused.stderr
        made.run("revoke lcm_loader from {user}")
        made.run("grant lcm_analyst to {user}")
        stranger = run(tmp_path, *words, **variables)
        assert stranger.returncode == 2
        assert "permission denied" in stranger.stderr
        assert "a member of lcm_loader" in stranger.stderr
        assert list(tmp_path.glob("*x*")) == []


@pytest.mark.slow
def test_the_command_writes_a_private_file_and_its_exit_codes_say_what_is_left(
    tmp_path: Path, person: tuple[RunningSimulator, int], warehouse: Warehouse
) -> None:
    client = str(person[1])
    variables = {"LCM_DATABASE_URL": warehouse.url}
    printed = run(tmp_path, "disclose", client, **variables)
    assert printed.returncode == 0, printed.stderr
    document = json.loads(printed.stdout)
    assert document["client_id"] == person[1]
    assert document["warehouse"] == warehouse.location
    path = tmp_path / "person.json"
    path.write_text("older")
    path.chmod(0o644)
    written = run(tmp_path, "disclose", client, "--output", str(path), **variables)
    assert (written.returncode, written.stdout) == (0, ""), written.stderr
    assert f"tables to {path}" in written.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text("utf-8"))["tables"] == document["tables"]
    unknown = run(tmp_path, "disclose", "42", "--output", str(path), **variables)
    assert (unknown.returncode, "is not known" in unknown.stderr) == (2, True), unknown.stderr
    assert json.loads(path.read_text("utf-8"))["tables"] == document["tables"]
    missing = run(tmp_path, "disclose", client, "--output", "no/such/file", **variables)
    assert (missing.returncode, "there is no folder" in missing.stderr) == (2, True)
    with warehouse.connect() as session:
        session.execute(f"create table mart.targets as select {client} as client_id")
    listing = run(tmp_path, "disclose", client, **variables)
    assert (listing.returncode, json.loads(listing.stdout)["other_tables"]) == (3, ["mart.targets"])
    assert "not its own, too: mart.targets" in listing.stderr
    assert [path.name for path in tmp_path.glob(".person*")] == []
