"""Fixtures: report pages of the worlds of tests/marts."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from lcm_pipeline.reporting.reports import make_report
from lcm_pipeline.warehouse.connection import Warehouse
from tests.marts import conftest as marts
from tests.marts.worlds import Synced, empty_world
from tests.reporting.reading_pages import Page
from tests.reporting.shops import START, Shop

by_chance = marts.by_chance
by_hand = marts.by_hand


@pytest.fixture(scope="session")
def page_of_chance(by_chance: Synced) -> Page:
    """The page of the last day of three random months."""
    return Page(make_report(by_chance.warehouse, by_chance.last, "en").html)


@pytest.fixture(scope="session")
def russian_page(by_chance: Synced) -> Page:
    """The same page in the default language."""
    return Page(make_report(by_chance.warehouse, by_chance.last).html)


@pytest.fixture(scope="session")
def page_by_hand(by_hand: Synced) -> Page:
    """The page of the last day of the hard edges."""
    return Page(make_report(by_hand.warehouse, language="en").html)


@pytest.fixture
def shop(warehouse: Warehouse, tmp_path: Path) -> Iterator[Shop]:
    """A shop without any day."""
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        yield Shop(simulator, warehouse, tmp_path)
