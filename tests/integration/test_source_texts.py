"""Hostile names and texts of the source are shown safely to people."""

import re
import secrets
from pathlib import Path

import dagster as dg
import pytest

from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import run
from tests.conftest import Programme

HOSTILE = [
    "[/bold]x",
    "[link=http://x]y",
    "\x1b[31mred",
    "\x9b1mbold",
    "\u202egnp",
    ":warning:",
    "",
]
LONG = ["x" * 9_000, secrets.token_hex(4_500), "Ж" * 9_000]
STORE = "[/red]Лавка\x1b[31m <script>alert(1)</script> | `x` " + "очень " * 2_000
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def _spoil(source: RunningSimulator, names: list[str]) -> None:
    """Add fields with these names to one operation."""
    with source.world.lock:
        customers = source.world.programme.customers.values()
        entry = max(customers, key=lambda c: len(c.operations)).operations.newest_first()[0]
        entry.row.update(dict.fromkeys(names, 1))


def _sync(tmp_path: Path, source: RunningSimulator, warehouse: Warehouse, **more: str) -> str:
    ended = run(
        tmp_path,
        *("sync", "--from", "2026-03-01", "--to", "2026-03-30"),
        LCM_API_URL=source.url,
        LCM_DATABASE_URL=warehouse.url,
        LCM_START_DATE="2026-03-01",
        **more,
    )
    assert ended.returncode == 0, ended.stderr
    assert not CONTROLS.search(ended.stdout)
    return ended.stdout


def _stored(warehouse: Warehouse) -> list[str]:
    with warehouse.connect() as session:
        rows = session.execute("select field_name from sync.unknown_fields").fetchall()
    return [name for (name,) in rows]


@pytest.mark.slow
def test_markup_and_control_sequences_in_names_are_shown_as_text(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=5)
    _spoil(source, HOSTILE)
    output = _sync(tmp_path, source, warehouse, PYTHONIOENCODING="ascii")
    for name in ("[/bold]x", "[link=http://x]y", ":warning:", '""'):
        assert name in output
    assert not any(CONTROLS.search(name) for name in _stored(warehouse))


@pytest.mark.slow
@pytest.mark.parametrize("wire", ["json", pytest.param("xml", marks=pytest.mark.slow)])
def test_a_name_of_thousands_of_characters_is_truncated(
    wire: str, tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=5)
    _spoil(source, [f"x{name}" for name in LONG])
    output = _sync(tmp_path, source, warehouse, LCM_API_FORMAT=wire)
    assert len(output) < 3_000
    assert {len(name) for name in _stored(warehouse)} == {200}


@pytest.mark.slow
@pytest.mark.parametrize("wire", ["json", pytest.param("xml", marks=pytest.mark.slow)])
def test_twenty_of_many_names_are_shown_and_a_bounded_number_is_stored(
    wire: str, tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=5)
    _spoil(source, [f"field{number}" for number in range(50_000)])
    output = _sync(tmp_path, source, warehouse, LCM_API_FORMAT=wire)
    assert "and 980 more" in output
    assert output.count("field1") <= 20
    assert len(_stored(warehouse)) == 1_000
    settings = load_settings(home=tmp_path / "home")
    with dagster_instance(settings) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("operations"))
    assert event is not None
    assert event.asset_materialization is not None
    shown = str(event.asset_materialization.metadata["unknown fields"].value)
    assert shown.count(",") <= 21
    assert len(shown) < 2_000


@pytest.mark.slow
def test_the_bound_applies_across_runs_and_ignores_known_names(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=5)
    with warehouse.connect() as session:
        session.execute(
            "insert into sync.unknown_fields (feed, field_name)"
            " select 'operations', 'old' || n from generate_series(1, 998) as n"
        )
    _spoil(source, ["old1", "old2", "new1", "new2", "new3"])
    output = _sync(tmp_path, source, warehouse)
    assert "new1, new2" in output
    assert len(_stored(warehouse)) == 1_000


@pytest.mark.slow
def test_texts_of_the_source_are_escaped_in_the_report_and_in_dagster(
    tmp_path: Path, programme: Programme, warehouse: Warehouse
) -> None:
    source = programme(clients=5)
    with source.world.lock:
        for customer in source.world.programme.customers.values():
            for entry in customer.operations.newest_first():
                entry.row["PosName"] = entry.row["PartnerName"] = STORE
    _sync(tmp_path, source, warehouse)
    written = run(tmp_path, "report", "--output", "-", LCM_DATABASE_URL=warehouse.url)
    assert written.returncode in (0, 3), written.stderr
    assert "[/red]Лавка" in written.stdout
    assert "<script" not in written.stdout
    assert not CONTROLS.search(written.stdout)
    assert "очень " * 50 not in written.stdout
    with dagster_instance(load_settings(home=tmp_path / "home")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("operations"))
    assert event is not None
    assert event.asset_materialization is not None
    preview = str(event.asset_materialization.metadata["preview"].value)
    assert "\\<script\\>" in preview
    assert not CONTROLS.search(preview)
    assert len(preview) < 20_000
