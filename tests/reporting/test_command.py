"""`lcm report` as a user runs it."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.cli import main
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import run_report
from tests.marts.worlds import Synced
from tests.reporting.reading_pages import Page
from tests.reporting.shops import START, Shop


def test_a_complete_day_is_written_to_a_file_and_ends_with_0(
    tmp_path: Path, by_hand: Synced
) -> None:
    ended = run_report(tmp_path, by_hand.warehouse.url)
    assert ended.returncode == 0, ended.stderr
    assert f"wrote report-{by_hand.last}.html" in ended.stdout
    page = Page((tmp_path / f"report-{by_hand.last}.html").read_text(encoding="utf-8"))
    assert page.row("programme", "New members")[0] == "1"


@pytest.mark.slow
def test_a_dash_writes_the_page_and_nothing_else(tmp_path: Path, by_hand: Synced) -> None:
    day = str(by_hand.last - timedelta(days=2))
    ended = run_report(tmp_path, by_hand.warehouse.url, "--date", day, "--output", "-")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("<!doctype html>")
    assert ended.stdout.rstrip().endswith("</html>")
    assert list(tmp_path.glob("*.html")) == []


@pytest.mark.slow
def test_an_incomplete_day_is_written_and_ends_with_3(tmp_path: Path, shop: Shop) -> None:
    shop.sync_operations(START)
    ended = run_report(tmp_path, shop.warehouse.url, "--output", "page.html")
    assert ended.returncode == 3, ended.stderr
    assert f"{START} is not complete in leads, favourite_offers" in ended.stderr
    assert "Some data for the day has not been loaded" in (tmp_path / "page.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--date", "2026-02-30"), "is not a day"),
        (("--date", "2026-03-11"), "The marts do not show 2026-03-11; they show 2026-01-01"),
        (("--date", "2025-12-30"), "lcm sync --from 2025-12-30 --to 2025-12-31 reads"),
        (("--week", "2025-W51"), "lcm sync --from 2025-12-15 --to 2025-12-31 reads"),
        (("--month", "2025-11"), "The marts do not show 2025-11, as 2026-01-01 is their first day"),
        (("--month", "2025-04"), "2025-04 is before LCM_START_DATE, 2025-05-01"),
        (("--date", "2025-04-30"), "2025-04-30 is before LCM_START_DATE, 2025-05-01"),
        (("--date", "2030-01-01"), "has not ended"),
        (("--week", "2026-03"), "is not a week: expected one such as 2026-W12"),
        (("--week", "2026-W54"), "no week 2026-W54: those of 2026 are 01 to 53"),
        (("--month", "2026-3"), "is not a month: expected one such as 2026-03"),
        (("--month", "2026-13"), "no month 2026-13: those of 2026 are 01 to 12"),
        (("--week", "2025-W53"), "those of 2025 are 01 to 52"),
        (("--month", "9999-12"), "expected a year from 1900 to 9000, such as 2026-03"),
        (("--week", "0000-W01"), "expected a year from 1900 to 9000, such as 2026-W12"),
        (("--month", "2027-01"), "begins after 2026-03-10"),
        (("--week", "--month"), "give one of --date, --yesterday, --week and --month"),
        (("--output", "nowhere/page.html"), "there is no folder"),
        (("--output", "."), "is not a file"),
        (("--output", "/dev/null"), "is not a file"),
    ],
)
def test_a_wrong_option_ends_with_2(
    tmp_path: Path,
    by_hand: Synced,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LCM_DATABASE_URL", by_hand.warehouse.url)
    monkeypatch.setenv("LCM_START_DATE", "2025-05-01")
    monkeypatch.setattr("sys.argv", ["lcm", "report", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert list(tmp_path.glob("*.html")) == []


@pytest.mark.slow
def test_a_warehouse_without_days_or_marts_ends_with_2_and_the_next_step(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    ended = run_report(tmp_path, warehouse.url)
    assert (ended.returncode, "run lcm sync --date DAY" in ended.stderr) == (2, True)
    with warehouse.connect(autocommit=True) as session:
        session.execute("drop schema mart cascade")
    ended = run_report(tmp_path, warehouse.url)
    assert (ended.returncode, "run lcm migrate" in ended.stderr) == (2, True)


@pytest.mark.slow
def test_a_member_of_lcm_bi_may_report_and_others_are_refused(
    tmp_path: Path, by_hand: Synced
) -> None:
    role = Identifier("reporter")
    parts = urlsplit(by_hand.warehouse.url)
    host = parts.netloc.rpartition("@")[2]
    reader = Warehouse(parts._replace(netloc=f"reporter@{host}").geturl())
    with by_hand.warehouse.connect(autocommit=True) as owner:
        owner.execute(SQL("create role {} login").format(role))
        try:
            refused = run_report(tmp_path, reader.url)
            owner.execute(SQL("grant lcm_bi to {}").format(role))
            allowed = run_report(tmp_path, reader.url)
        finally:
            owner.execute(SQL("drop role {}").format(role))
    assert (refused.returncode, "a member of lcm_bi" in refused.stderr) == (2, True), refused.stderr
    assert allowed.returncode == 0, allowed.stderr
