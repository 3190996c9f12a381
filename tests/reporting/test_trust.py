"""Completeness on the page: the banner, the marks, restatements and unknown numbers."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import psycopg
import pytest

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.reporting.figures import ReportError
from lcm_pipeline.reporting.formats import Formats
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.superset.definition import dashboards_folder, read_definition
from lcm_pipeline.warehouse.access.frames import read_report
from lcm_pipeline.warehouse.access.mart_snapshot import open_mart_snapshot
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.status import read_overview
from tests.reporting.reading_pages import Page, number
from tests.reporting.shops import OTHER, SECOND, START, THIRD, Shop


def _titles(page: Page) -> str:
    return " ".join(page.section("trust").xpath("./h2")[0].text_content().split())


@pytest.mark.slow
def test_a_complete_day_says_so_and_marks_nothing(shop: Shop) -> None:
    shop.sync(START)
    report, page = shop.report()
    assert (report.day, report.incomplete) == (START, ())
    assert "Data for the day is complete" in _titles(page)
    assert page.row("trust", "Operations")[1:4] == ["100 %", "0", "0"]
    assert number(page.row("programme", "Net sales")[0]) == 200
    assert "*" not in page.words("programme")
    assert "✓ complete" in page.words("points")


@pytest.mark.slow
def test_the_banner_shows_since_when_members_are_known(shop: Shop) -> None:
    """Clients registered on the first day that was read, so earlier members are unknown."""
    shop.sync(START)
    assert "Members are known only from 1 Mar 2026 (LCM_START_DATE)" in shop.report()[1].words(
        "trust"
    )
    with shop.warehouse.connect(autocommit=True) as session:
        session.execute("insert into sync.registration_days (registration_date, source_total,"
                        " read_at) values ('2026-02-28', 0, now())")  # fmt: skip
    refresh_marts(shop.warehouse, everything=True)
    assert "LCM_START_DATE" not in shop.report()[1].words("trust")


@pytest.mark.slow
def test_a_pending_client_makes_the_day_incomplete_and_marks_its_numbers(shop: Shop) -> None:
    shop.sync(START)
    shop.simulator.service.faults.set(
        [FaultRule(kind="sql_other", endpoint="OperationHistory", client=OTHER)]
    )
    shop.sync(SECOND)
    report, page = shop.report()
    assert (report.day, report.incomplete) == (SECOND, ("operations",))
    assert "Data for the day is incomplete" in _titles(page)
    assert page.row("trust", "Operations")[0:3] == ["incomplete", "50 %", "1"]
    assert "incomplete, 50 % confirmed" in page.words("points")
    assert page.row("programme", "Net sales")[:2] == ["200.00 ₽*", "200.00 ₽"]
    assert "incomplete days" in page.words("programme")
    # New members are counted from the roster, which is complete.
    assert page.row("programme", "New members")[0] == "0"
    assert shop.report(START)[0].incomplete == ()


@pytest.mark.slow
def test_rows_in_quarantine_are_counted_on_a_complete_day(shop: Shop) -> None:
    odd = shop.author.cheque(shop.client, 599, "2026-03-01T11:00:00", "1.00")
    odd.row["ComponentType"], odd.bad = 300, True
    shop.sync(START)
    report, page = shop.report()
    assert (report.incomplete, report.quarantined) == ((), 1)
    assert "Data for the day is complete" in _titles(page)
    assert page.row("trust", "Operations")[:4] == ["complete", "100 %", "0", "1"]
    assert "Rows in quarantine: 1. They are not included in any number on this page" in page.words(
        "trust"
    )
    assert page.row("programme", "Purchases")[0] == "2"
    assert "complete rows in quarantine: 1" in page.words("points")
    assert "rows in quarantine" not in page.words("leads")
    status = {feed.feed: feed for feed in read_overview(shop.warehouse)}["operations"]
    assert (status.complete_through, status.quarantined) == (START, 1)


@pytest.mark.slow
def test_report_dashboards_and_status_agree_on_the_last_complete_day(shop: Shop) -> None:
    shop.sync(START)
    shop.simulator.service.faults.set(
        [FaultRule(kind="sql_other", endpoint="OperationHistory", client=OTHER)]
    )
    shop.sync(SECOND)
    shop.sync_registrations(THIRD)
    status = {feed.feed: feed.complete_through for feed in read_overview(shop.warehouse)}
    assert set(status.values()) == {START, SECOND, THIRD}
    _, page = shop.report()
    formats = Formats("en", ZoneInfo("Europe/Moscow"))
    titles = {feed.name: feed.label[1] for feed in FEEDS}
    for feed, through in status.items():
        assert page.row("trust", titles[feed])[-1] == formats.short_day(through)
    metrics = read_definition(dashboards_folder() / "definition").layer.marts["data_completeness"]
    sql = metrics.metrics["through"].sql
    tables = {feed.main_table.name: feed.name for feed in FEEDS}
    with shop.warehouse.connect() as session:
        rows = session.execute(
            f"select table_name, {sql} from mart.data_completeness group by table_name".encode()
        ).fetchall()
        whole = session.execute(f"select {sql} from mart.data_completeness".encode()).fetchone()
    assert {tables[table]: through for table, through in rows} == status
    assert whole == (START,)


@pytest.mark.slow
def test_a_deferred_client_makes_the_day_incomplete_too(shop: Shop) -> None:
    shop.sync(START)
    shop.sync(SECOND)
    with shop.warehouse.connect(autocommit=True) as session:
        session.execute(
            "update sync.client_state set proven_date = %s"
            " where feed = 'operations' and client_id = %s",
            (START, OTHER),
        )
    refresh_marts(shop.warehouse)
    report, page = shop.report()
    assert report.incomplete == ("operations",)
    assert page.row("trust", "Operations")[1:3] == ["50 %", "0 + 1 deferred"]


@pytest.mark.slow
def test_a_table_that_was_not_synced_is_unknown_and_not_zero(shop: Shop) -> None:
    shop.sync(START)
    shop.sync_operations(SECOND)
    report, page = shop.report()
    assert (report.day, report.incomplete) == (SECOND, ("leads", "favourite_offers"))
    assert "Some data for the day has not been loaded" in _titles(page)
    assert page.row("trust", "Leads")[0] == "not loaded"
    assert "Leads for this day have not been loaded" in page.words("leads")
    assert number(page.row("programme", "Net sales")[0]) == 400


@pytest.mark.slow
def test_sections_without_rows_say_so(shop: Shop) -> None:
    shop.sync(START)
    _, page = shop.report()
    assert "No leads in the last 30 days" in page.words("leads")
    assert "No favourite products have been offered" in page.words("favourites")
    assert "there is nothing to compare with" in page.words("restated")


@pytest.mark.slow
def test_days_that_changed_since_the_day_before_are_listed_with_the_reason(shop: Shop) -> None:
    shop.sync(START)
    shop.sync(SECOND)
    _, page = shop.report()
    assert "No past day has changed" in page.words("restated")

    with shop.simulator.world.lock:
        shop.cheques[0].row["Amount"] = Decimal("130.00")
        shop.client.operations.remove(shop.cheques[2])
    shop.author.cheque(shop.other, 599, "2026-03-01T23:59:59.9999999", "5.00")
    shop.sync(THIRD)
    report, page = shop.report(THIRD)
    assert report.incomplete == ()
    assert [(title, cells[1], cells[2:5]) for title, cells in page.rows("restated")] == [
        ("2 Mar 2026", "vanished", ["1", "−200.00", "0"]),
        ("1 Mar 2026", "changed", ["1", "+30.00", "0"]),
        ("1 Mar 2026", "arrived late", ["1", "+5.00", "0"]),
    ]
    assert page.row("programme", "Net sales")[1] == "200.00 ₽"
    # A report of the first day shows its restated number.
    _, first = shop.report(START)
    assert number(first.row("programme", "Net sales")[0]) == 235


def test_a_day_that_was_never_synced_is_refused_with_the_next_step(shop: Shop) -> None:
    with pytest.raises(ReportError, match=r"no synced day yet.*lcm sync --date"):
        shop.report()
    shop.sync(START)
    with pytest.raises(
        ReportError, match=f"they show {START} to {START}: run lcm sync --date {THIRD}"
    ):
        shop.report(THIRD)


def test_a_day_without_operations_shows_no_number_of_them(shop: Shop) -> None:
    shop.sync_registrations(START)
    report, page = shop.report()
    assert report.incomplete == ("operations", "leads", "favourite_offers")
    assert page.row("programme", "New members")[0] == "2"
    assert page.row("programme", "Net sales")[0] == "—"
    assert "Operations for this day have not been loaded" in page.words("stores")


def test_texts_of_the_source_are_escaped(shop: Shop) -> None:
    name = '<script src="http://127.0.0.1/x.js">alert(1)</script>'
    shop.author.cheque(shop.client, 599, "2026-03-01T11:00:00", "1.00", Pos=9, PosName=name)
    shop.sync(START)
    _, page = shop.report()
    assert page.root.xpath("//script") == []
    assert number(page.row("stores", name)[0]) == 1


def test_a_store_without_a_name_is_shown_by_its_number(shop: Shop) -> None:
    """Beside a cheque that names no store, pandas would make floats of the numbers."""
    for number_of_cheque, pos in ((598, 9_007_199_254_740_993), (599, None)):
        shop.author.cheque(
            shop.client, number_of_cheque, "2026-03-01T11:00:00", "1.00", Pos=pos, PosName=None
        )
    shop.sync(START)
    _, page = shop.report()
    assert number(page.row("stores", "9007199254740993")[0]) == 1
    assert number(page.row("stores", "not specified")[0]) is not None


def test_all_numbers_of_a_page_are_from_one_snapshot(shop: Shop) -> None:
    shop.sync(START)
    with open_mart_snapshot(shop.warehouse, "lcm report") as marts:
        (before,) = read_report(marts, "programme_days", day=START)["net_sales"]
        shop.sync(SECOND)
        with shop.warehouse.connect() as session:
            session.execute("delete from core.operations")
            session.commit()
        refresh_marts(shop.warehouse, everything=True)
        assert read_report(marts, "programme_days", day=START)["net_sales"].to_list() == [before]
    with open_mart_snapshot(shop.warehouse, "lcm report") as marts:
        assert read_report(marts, "programme_days", day=START)["net_sales"].to_list() != [before]


def test_a_lost_server_is_a_postgres_error(shop: Shop) -> None:
    with (
        pytest.raises(psycopg.OperationalError),
        open_mart_snapshot(shop.warehouse, "lcm report") as marts,
        shop.warehouse.connect(autocommit=True) as session,
    ):
        read_report(marts, "completeness")
        session.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        read_report(marts, "completeness")
