"""The benchmark on a small programme: contestants do the same work. No time is checked."""

import json
import os
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from benchmarks import profiling
from benchmarks.arena import Arena, run_once
from benchmarks.arena import arena as open_arena
from benchmarks.contestants import FLOOR, OURS
from benchmarks.figures import most_within_a_second
from benchmarks.measuring import ContestantError
from benchmarks.report import Table, join, write
from benchmarks.serving import ROOT, api_server
from benchmarks.world import World

_DEBIAN = Path("/usr/lib/postgresql/15/bin")
SMALL = World(clients=50, days=3, operations=4)


@pytest.fixture
def arena(postgres: str, tmp_path: Path) -> Arena:
    return Arena(postgres, tmp_path, runs=1)


def rows_of(page: bytes) -> list[dict[str, object]]:
    return json.loads(b"[" + page + b"]")


def test_ours_and_the_floor_load_the_rows_of_the_source(arena: Arena) -> None:
    with api_server(SMALL, 0.001) as server:
        floor = run_once(FLOOR, arena.job(server))
        ours = run_once(OURS, arena.job(server))
    assert floor.sight.requests == SMALL.days + 3 * SMALL.clients
    # At most one request at the end of the largest page and one before the first row, per feed.
    assert 0 <= ours.sight.requests - floor.sight.requests <= 9
    assert 0 < ours.startup < ours.wall
    assert 0 < ours.work_cpu < ours.cpu


def test_rows_that_differ_from_the_source_are_reported(arena: Arena) -> None:
    with api_server(SMALL, 0.001) as server:
        job = arena.job(server)
        server.world = replace(SMALL, leads=2)
        with pytest.raises(ContestantError, match="leads: 50 instead of 100"):
            run_once(FLOOR, job)


def test_the_error_of_a_failed_command_contains_its_output(arena: Arena) -> None:
    with api_server(SMALL, 0.001) as server:
        job = arena.job(server, LCM_CONCURRENCY="none")
        with pytest.raises(ContestantError, match="LCM_CONCURRENCY"):
            run_once(OURS, job)


def test_the_pages_of_a_long_history_join_newest_first() -> None:
    world = World(clients=2, heavy=1_234)
    pages = [rows_of(world.operations_page(0, start, 500)) for start in (1, 501, 1_001, 1_501)]
    rows = [row for page in pages for row in page]
    moments = [row["Proctime"] for row in rows]
    assert [len(page) for page in pages] == [500, 500, 234, 0]
    assert moments == sorted(moments, reverse=True)
    assert len({row["Id"] for row in rows}) == 1_234


def test_the_expected_totals_match_the_served_rows() -> None:
    world = World(clients=7, days=2, operations=3, latest=1)
    truth = world.truth()
    served = [row for at in range(7) for row in rows_of(world.operations_page(at, 1, 500))]
    begins = datetime.combine(world.first, datetime.min.time())
    registered = rows_of(world.registered_between(begins, begins + timedelta(days=2)))
    assert truth.operations == len(served) == 22
    assert truth.operation_ids == sum(int(str(row["Id"])) for row in served)
    assert truth.amount_cents == sum(round(float(str(row["Amount"])) * 100) for row in served)
    assert truth.registrations == len(registered) == 7


def test_a_table_replaces_only_the_text_between_its_markers(tmp_path: Path) -> None:
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text("before\n<!-- pace -->\nold\n<!-- /pace -->\nafter\n")
    table = Table("pace", ("who", "wall"))
    table.add("ours", "1.00 s")
    write(table, runs=3, page=page, figures=figures)
    write(table, runs=3, page=page, figures=figures)
    text = page.read_text()
    assert text.startswith(
        "before\n<!-- pace -->\n\n| who | wall |\n|---|---:|\n| ours | 1.00 s |\n"
    )
    assert text.endswith("<!-- /pace -->\nafter\n")
    assert "old" not in text
    assert json.loads(figures.read_text())["pace"]["rows"] == [{"who": "ours", "wall": "1.00 s"}]


def test_a_table_without_markers_on_the_page_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="no place"):
        write(Table("pace", ("who",)), runs=1, page=page, figures=tmp_path / "figures.json")


def test_the_tables_of_two_versions_of_postgres_are_joined() -> None:
    tables = {version: Table("pace", ("who", "wall"), is_single=True) for version in ("18", "15")}
    for version, table in tables.items():
        table.add("ours", f"{version} s")
    joined = join(tables)
    assert (joined.name, joined.is_single) == ("pace", True)
    assert joined.columns == ("who", "Postgres", "wall")
    assert joined.rows == [("ours", "18", "18 s"), ("ours", "15", "15 s")]
    assert join({"18": tables["18"]}) is tables["18"]


@pytest.mark.skipif(not _DEBIAN.is_dir(), reason="PostgreSQL 15 of Debian is not installed")
def test_contestants_write_to_the_chosen_postgres(tmp_path: Path) -> None:
    with open_arena(1, postgres=str(_DEBIAN)) as opened, api_server(SMALL, 0.001) as server:
        assert opened.version.startswith("15.")
        run_once(FLOOR, opened.job(server))
    assert "PG_BINDIR" not in os.environ


def test_the_densest_second_is_found_wherever_it_begins() -> None:
    assert most_within_a_second([0.0, 0.9, 1.1, 1.2, 1.89, 3.0]) == 4
    assert most_within_a_second([]) == 0


def test_each_part_of_the_profile_names_files_that_exist() -> None:
    paths = [
        re.search(r"lcm_pipeline/[\w/]+", function)
        for _, functions in profiling._PARTS
        for function in functions
    ]
    for path in filter(None, paths):
        assert list(ROOT.glob(f"{path.group()}*")), path.group()
