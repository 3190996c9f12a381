"""A page is in one language, with its formats of numbers and days; defaults are marked."""

import re
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from lcm_pipeline.reporting.formats import Formats
from lcm_pipeline.reporting.reports import make_period_report, make_report
from lcm_pipeline.superset.definition import dashboards_folder, read_definition
from lcm_pipeline.warehouse.access.dictionary import russian_definitions
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import run
from tests.marts.worlds import Synced
from tests.reporting.reading_pages import Page
from tests.reporting.shops import START, Shop

ROOT = Path(__file__).resolve().parents[2]
_CYRILLIC = re.compile("[А-Яа-яЁё]")
_REPORTING = ROOT / "lcm_pipeline" / "reporting"


def _own_texts(page: Page) -> list[str]:
    """The texts of the page itself, without names of stores and goods, code and formulas."""
    texts = page.root.xpath(
        "//body//text()[not(ancestor::svg) and not(ancestor::code) and not(ancestor::tbody)]"
        " | //body//tbody//th[@scope='row'][span]//text()"
    )
    return [text for text in map(str.strip, texts) if text]


def test_an_english_page_has_no_russian_word(page_of_chance: Page) -> None:
    assert page_of_chance.root.get("lang") == "en"
    assert [text for text in _own_texts(page_of_chance) if _CYRILLIC.search(text)] == [
        # The programme's own names of statuses.
        text for text in _own_texts(page_of_chance) if "Новое" in text or "Решено" in text
    ]  # fmt: skip


def test_a_russian_page_has_no_english_sentence_and_is_the_default(russian_page: Page) -> None:
    assert russian_page.root.get("lang") == "ru"
    english = [
        text
        for text in _own_texts(russian_page)
        if len(re.findall(r"\b[a-z]{2,}\b", text)) > 2 and not _CYRILLIC.search(text)
    ]
    assert english == []


def test_both_languages_show_the_same_numbers(page_of_chance: Page, russian_page: Page) -> None:
    def digits(page: Page, section: str) -> list[str]:
        return [re.sub(r"\D", "", cell) for _, row in page.rows(section) for cell in row]

    for section in ("programme", "stores", "leads"):
        assert digits(page_of_chance, section) == digits(russian_page, section)


def test_every_shown_definition_has_a_russian_one() -> None:
    templates = "".join(p.read_text() for p in (_REPORTING / "templates").glob("*.html"))
    code = (_REPORTING / "measures.py").read_text()
    named = set(re.findall(r"define\('(\w+\.\w+)'", templates))
    named |= set(re.findall(r'"([a-z_]+\.[a-z_]+)"', code))
    definition = read_definition(dashboards_folder() / "definition")
    rows = [*definition.strip, *(row for page in definition.dashboards for row in page.rows)]
    named |= {chart.mart for row in rows for chart in row.charts}
    assert len(named) > 60
    assert named - russian_definitions().keys() == set()


def test_every_russian_definition_is_of_an_existing_column(warehouse: Warehouse) -> None:
    with warehouse.connect() as session:
        rows = session.execute(
            "select table_name, column_name from information_schema.columns"
            " where table_schema = 'mart' union all select relname, attname from pg_class"
            " join pg_attribute on attrelid = pg_class.oid"
            " where relnamespace = 'mart'::regnamespace"
        ).fetchall()
    known = {table for table, _ in rows} | {f"{table}.{column}" for table, column in rows}
    assert russian_definitions().keys() - known == set()


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize(("language", "words"), [("ru", "Чистые продажи"), ("en", "Net sales")])
def test_lcm_language_selects_the_language(
    tmp_path: Path, by_hand: Synced, language: str, words: str
) -> None:
    ended = run(
        tmp_path, "report", "--output", "-",
        LCM_DATABASE_URL=by_hand.warehouse.url, LCM_LANGUAGE=language,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert words in ended.stdout


@pytest.mark.slow
def test_another_language_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, "report", LCM_LANGUAGE="de")
    assert ended.returncode == 2
    assert "LCM_LANGUAGE" in ended.stderr


@pytest.mark.slow
def test_a_default_is_marked_until_it_is_set(shop: Shop) -> None:
    shop.sync(START)
    with shop.warehouse.connect(autocommit=True) as session:
        marked = {
            row[0]
            for row in session.execute("select parameter from mart.assumptions where is_default")
        }
        assert {"point_value", "expected_breakage", "new_lead_statuses"} <= marked
        session.execute("update mart.parameters set point_value = 0.5")
        rows = session.execute("select parameter from mart.assumptions where not is_default")
        assert [row[0] for row in rows] == ["point_value"]
        session.execute("update mart.parameters set confirmed = '{expected_breakage}'")
        rows = session.execute("select parameter from mart.assumptions where not is_default")
        assert {row[0] for row in rows} == {"point_value", "expected_breakage"}


def test_points_and_statuses_show_their_defaults(page_of_chance: Page, by_chance: Synced) -> None:
    owed = page_of_chance.words("points")
    assert "at 1.00 ₽ per point (default, not confirmed)" in owed
    assert "breakage of 20.0 % (default, not confirmed)" in owed
    assert "Решено, Закрыто (default, not confirmed)" in page_of_chance.words("leads")


def test_shipped_values_are_the_defaults_of_their_columns(warehouse: Warehouse) -> None:
    """The view repeats them, because SQL cannot query the default of a column."""
    with warehouse.connect() as session:
        rows = session.execute("select is_default from mart.assumptions").fetchall()
    assert {is_default for (is_default,) in rows} == {True}


def test_days_before_the_programme_are_not_missing_days(by_hand: Synced) -> None:
    """The strip of days begins with the first known day, not 90 days before the report."""
    day = by_hand.first + timedelta(days=3)
    page = Page(make_report(by_hand.warehouse, day, "en").html)
    words = page.section("health").xpath(".//div[@role='img']/@aria-label")[0]
    first = Formats("en", ZoneInfo("Europe/Moscow")).short_day(by_hand.first)
    assert words.startswith(f"{first} – ")
    assert "0 of" in words


def test_a_period_is_in_russian_too(by_chance: Synced) -> None:
    page = Page(make_period_report(by_chance.warehouse, "week").html)
    assert page.root.get("lang") == "ru"
    assert "неделя 2026-W13" in page.root.xpath("//h1")[0].text_content()
