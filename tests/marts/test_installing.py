"""Marts are installed once, replaced under readers, and described by their own files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lcm_pipeline.warehouse import marts as module
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.dictionary import as_markdown, describe
from lcm_pipeline.warehouse.marts import MartInUse, install_marts, keep_time_zone, marts
from lcm_pipeline.warehouse.migrations import migrate
from tests.marts.comparing import read_mart
from tests.marts.worlds import Synced

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sql_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of marts that a test may change."""
    folder = tmp_path / "sql" / "marts"
    folder.mkdir(parents=True)
    for path in (ROOT / "sql" / "marts").glob("*.sql"):
        (folder / path.name).write_text(path.read_text())
    monkeypatch.setattr(module, "sql_folder", lambda: folder.parent)
    yield folder


def _install(warehouse: Warehouse) -> list[str]:
    with warehouse.connect(autocommit=True) as session:
        return install_marts(session)


def test_nothing_is_installed_twice(warehouse: Warehouse) -> None:
    assert migrate(warehouse) == []
    assert _install(warehouse) == []


def test_a_mart_that_changed_inside_is_replaced_in_place(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    before = _oid(warehouse)
    path = sql_copy / "card_mix.sql"
    path.write_text(path.read_text().replace("deleted_at is null", "deleted_at is null and true"))
    assert _install(warehouse) == ["card_mix"]
    assert _oid(warehouse) == before


def test_a_mart_with_other_columns_keeps_its_grants(warehouse: Warehouse, sql_copy: Path) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create role visitor")
        session.execute("grant select on mart.card_mix to visitor")
    path = sql_copy / "card_mix.sql"
    path.write_text(path.read_text().replace("count(*) as cards,", "count(*) as all_cards,")
                    .replace("card_mix.cards is", "card_mix.all_cards is"))  # fmt: skip
    assert _install(warehouse) == ["card_mix"]
    with warehouse.connect(autocommit=True) as session:
        may = session.execute(
            "select has_table_privilege('visitor', 'mart.card_mix', 'select'),"
            " has_table_privilege('lcm_bi', 'mart.card_mix', 'select')"
        ).fetchone()
        session.execute("revoke all on mart.card_mix from visitor")
        session.execute("drop role visitor")
    assert may == (True, True)


def test_views_of_others_are_never_dropped(warehouse: Warehouse, sql_copy: Path) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create view public.mine as select cards from mart.card_mix")
    path = sql_copy / "card_mix.sql"
    path.write_text(path.read_text().replace("count(*) as cards,", "count(*) as all_cards,")
                    .replace("card_mix.cards is", "card_mix.all_cards is"))  # fmt: skip
    with pytest.raises(MartInUse, match="mine"):
        _install(warehouse)
    assert read_mart(warehouse, "card_mix") == []


def test_a_mart_whose_file_is_gone_is_dropped(warehouse: Warehouse, sql_copy: Path) -> None:
    (sql_copy / "card_mix.sql").unlink()
    _install(warehouse)
    with pytest.raises(psycopg.errors.UndefinedTable):
        read_mart(warehouse, "card_mix")
    assert read_mart(warehouse, "program_daily") == []


def test_each_file_says_its_question_grain_and_formula() -> None:
    for mart in marts():
        assert mart.question.endswith("?"), mart.name
        assert mart.grain, mart.name
        assert mart.formula.endswith("."), mart.name
        assert f"create or replace view mart.{mart.name} as" in mart.text


def test_the_time_zone_of_the_settings_reaches_the_marts(warehouse: Warehouse) -> None:
    keep_time_zone(warehouse, "Asia/Vladivostok")
    assert read_mart(warehouse, "parameters")[0]["timezone"] == "Asia/Vladivostok"


@pytest.mark.parametrize(
    ("mart", "filter_"),
    [
        ("store_daily", "day = '2026-02-03'"),
        ("earn_mix", "day between '2026-02-03' and '2026-02-05'"),
        ("leads_daily", "day = '2026-02-03'"),
        ("card_mix", "day = '2026-02-03'"),
    ],
)
def test_a_date_filter_prunes_months(mart: str, filter_: str, by_chance: Synced) -> None:
    """Cheques look for better rows in all months by index; what is counted is read from one."""
    with by_chance.warehouse.connect() as session:
        statement = f"explain (format json) select * from mart.{mart} where {filter_}"
        row = session.execute(statement.encode()).fetchone()
    assert row is not None
    months = {
        node["Relation Name"][-6:]
        for node in _nodes(row[0][0]["Plan"])
        if node["Node Type"] in ("Seq Scan", "Index Scan", "Bitmap Heap Scan")
        and re.fullmatch(r".*_20\d{4}", node.get("Relation Name", ""))
        and not node["Alias"].startswith("better")
    }
    assert months == {"202602"}


def test_the_data_dictionary_is_what_the_database_says(warehouse: Warehouse) -> None:
    written = (ROOT / "docs" / "data_dictionary.md").read_text()
    assert written == as_markdown(describe(warehouse)), "run `lcm docs`"


def test_the_dictionary_names_every_mart(warehouse: Warehouse) -> None:
    page = as_markdown(describe(warehouse))
    assert all(f"### mart.{mart.name} (view)" in page for mart in marts())


def _oid(warehouse: Warehouse) -> tuple[Any, ...] | None:
    with warehouse.connect() as session:
        return session.execute("select 'mart.card_mix'::regclass::oid").fetchone()


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
