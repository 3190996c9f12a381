"""`make screenshots`: the pictures of docs/screenshots, taken of the real thing.

Of a made-up programme in an embedded Postgres that is thrown away after.
"""

import sys
import tempfile
from datetime import date
from pathlib import Path

from lcm_pipeline.settings import load_settings
from lcm_pipeline.superset.definition import dashboards_folder, read_definition
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.migrations import migrate
from tests.browser.looking import WIDTH, logged_in, look_at
from tests.browser.serving import ROOT, missing, open_browser, serving_dashboards
from tests.browser.worlds import fill_with_a_past

FOLDER = ROOT / "docs" / "screenshots"
_TALLEST = 1150


def main() -> int:
    """Take one picture of each dashboard; returns the exit code."""
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="lcm-screenshots-") as folder:
        home = Path(folder)
        settings = load_settings(home=home, database_url=None)
        with open_warehouse(settings) as warehouse:
            migrate(warehouse)
            fill_with_a_past(warehouse, home, today=date.today(), clients=150)
            with serving_dashboards(None, home) as starting:
                served = starting.ready()
                with open_browser() as browser, logged_in(browser, served) as page:
                    for dashboard in read_definition(dashboards_folder() / "definition").dashboards:
                        look_at(page, dashboard.slug)
                        page.screenshot(
                            path=FOLDER / f"{dashboard.slug.removeprefix('lcm-')}.png",
                            clip={"x": 0, "y": 0, "width": WIDTH, "height": _TALLEST},
                        )
                        print(f"took {dashboard.slug}")
    return 0


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    sys.exit(main())
