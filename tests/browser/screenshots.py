"""`make screenshots`: takes the pictures of docs/screenshots in both languages.

They show a year of a simulated programme, in a temporary embedded Postgres.
"""

import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import get_args

from playwright.sync_api import Browser

from lcm_pipeline.model.language import Language
from lcm_pipeline.reporting.reports import make_period_report, make_report
from lcm_pipeline.settings import load_settings
from lcm_pipeline.superset.definition import dashboards_folder, read_definition
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.migrations import migrate
from tests.browser.looking import WIDTH, logged_in, open_dashboard
from tests.browser.serving import ROOT, missing, open_browser, serving_dashboards
from tests.browser.worlds import fill_with_a_past

FOLDER = ROOT / "docs" / "screenshots"
_TALLEST = 1150
_REPORT_WIDTH, _REPORT_HEIGHT = 1040, 1500


def main() -> int:
    """Take one picture of each dashboard and report in each language; returns the exit code."""
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="lcm-screenshots-") as folder:
        home = Path(folder)
        settings = load_settings(home=home, database_url=None)
        with open_warehouse(settings) as warehouse:
            migrate(warehouse)
            fill_with_a_past(warehouse, home, today=date.today(), days=400, clients=100)
            # A browser has an event loop, and so has a sync: they cannot run at the same time.
            with open_browser() as browser:
                for language in get_args(Language):
                    target = FOLDER if language == "en" else FOLDER / language
                    target.mkdir(parents=True, exist_ok=True)
                    _take_reports(browser, warehouse, language, target)
                    _take_dashboards(browser, home, language, target)
    return 0


def _take_dashboards(browser: Browser, home: Path, language: Language, target: Path) -> None:
    definition = read_definition(dashboards_folder() / "definition", language)
    with serving_dashboards(None, home, language) as starting:
        served = starting.ready()
        with logged_in(browser, served) as page:
            for dashboard in definition.dashboards:
                view = open_dashboard(page, dashboard.slug)
                page.screenshot(
                    path=target / f"{dashboard.slug.removeprefix('lcm-')}.png",
                    clip={"x": 0, "y": 0, "width": WIDTH, "height": _TALLEST},
                )
                print(
                    f"took {dashboard.slug} in {language}; overlapping labels: {view.overprinted}"
                )


def _take_reports(browser: Browser, warehouse: Warehouse, language: Language, target: Path) -> None:
    reports = {
        "report": make_report(warehouse, language=language),
        "report-month": make_period_report(warehouse, "month", language=language),
    }
    page = browser.new_page(viewport={"width": _REPORT_WIDTH, "height": _REPORT_HEIGHT})
    for name, report in reports.items():
        page.set_content(report.html)
        page.screenshot(path=target / f"{name}.png")
        print(f"took {name} in {language}")
    page.close()


if __name__ == "__main__":
    sys.exit(main())
