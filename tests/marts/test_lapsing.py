"""Members lapse once, in the month in which their last purchase becomes lapse_days days old."""

from collections import Counter
from datetime import date, datetime
from pathlib import Path

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.marts.comparing import read_mart
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.purchases import add_cheque
from tests.marts.stories import START, Story
from tests.marts.worlds import empty_world

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


@pytest.mark.slow
def test_a_member_lapses_once_though_lapse_days_are_fewer_than_the_days_of_a_month(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set lapse_days = 20")
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        story = Story(simulator, warehouse, tmp_path)
        for client, days in enumerate([(3,), (3, 28), (25,), (12,)], start=1):
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
            for number, day in enumerate(days):
                add_cheque(story, client, number, day, 500)
        story.sync_day(date(2026, 3, 22))
        assert _lapsed(warehouse) == {MARCH: 0}
        story.sync_day(date(2026, 3, 23))
        assert _lapsed(warehouse) == {MARCH: 2}
        story.sync_day(date(2026, 3, 31))
        assert _lapsed(warehouse) == {MARCH: 1}
        story.sync_day(date(2026, 4, 1))
        assert _lapsed(warehouse) == {MARCH: 1, APRIL: 1}
        story.sync_day(date(2026, 4, 30))
    assert _lapsed(warehouse) == {MARCH: 1, APRIL: 3}
    assert_as_if_computed_anew(warehouse, "after two months in which members lapsed")


def _lapsed(warehouse: Warehouse) -> dict[date, int]:
    found = Counter[date]()
    for row in read_mart(warehouse, "activity_monthly"):
        found[row["month"]] += row["lapsed"]
    return dict(found)
