"""The example of docs/points.md: its rows, and what the ledger makes of them."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from lcm_pipeline.warehouse.connection import Warehouse
from tests.databases import cloned_warehouse
from tests.marts.comparing import read_mart
from tests.marts.stories import START, Story
from tests.marts.worlds import empty_world

PAGE = Path(__file__).parents[2] / "docs" / "points.md"
HEADING = "## An example"
CLIENT, EARNED, GIFT = 1001, 1, 2


def test_the_ledger_of_the_example_is_that_of_the_page(
    postgres: str, template: str, tmp_path: Path
) -> None:
    with (
        cloned_warehouse(postgres, template) as warehouse,
        empty_world(START, datetime(2026, 3, 1, 1)) as simulator,
    ):
        story = Story(simulator, warehouse, tmp_path)
        client = story.author.client(CLIENT, "2026-03-01T01:00:00", [{"Card": 1}])
        cheque, lot = story.author.cheque, story.author.lot
        cheque(client, 101, "2026-03-02T12:00:00", "1000", Added=Decimal(60))
        ends = "2026-03-20T12:00:00"
        earned = lot(client, EARNED, "2026-03-02T12:00:00", "60", ends=ends, ChequeId=101)
        gift = lot(client, GIFT, "2026-03-02T13:00:00", "100", ends="2026-12-31T00:00:00")
        story.sync_day(date(2026, 3, 5))
        cheque(client, 102, "2026-03-10T12:00:00", "500", Redeemed=Decimal(50))
        earned.row["Remain"] = Decimal(10)
        story.sync_day(date(2026, 3, 15))
        cheque(client, 103, "2026-03-25T12:00:00", "300", Redeemed=Decimal(30))
        earned.row["Remain"] = Decimal(0)
        gift.row["Remain"] = Decimal(65)
        story.sync_day(date(2026, 3, 31))
        assert _movements(warehouse) == _movements_of_page()


def _movements(warehouse: Warehouse) -> list[tuple[str, ...]]:
    rows = read_mart(warehouse, "points_movements")
    return sorted(
        (f"{row['movement_date']}", row["kind"], f"{row['points']:.0f}", f"{row['lot_id']}")
        for row in rows
    )


def _movements_of_page() -> list[tuple[str, ...]]:
    """The rows of the last table below the heading, without their explanation."""
    section = PAGE.read_text().split(HEADING, 1)[1].split("\n## ", 1)[0]
    lines = section.rstrip().split("\n\n")[-1].splitlines()[2:]
    return sorted(tuple(line.strip("| ").split(" | ")[:4]) for line in lines)
