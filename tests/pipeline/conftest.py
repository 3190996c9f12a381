"""Fixtures of runs with several readers."""

import pytest

from lcm_pipeline.simulator.server import RunningSimulator
from tests.conftest import MakeSettings
from tests.crash.repeats import RequestCounts, requests_of_clean_sync
from tests.databases import cloned_warehouse


@pytest.fixture
def clean(
    source: RunningSimulator, postgres: str, template: str, make_settings: MakeSettings
) -> RequestCounts:
    """The requests of an undisturbed sync of the module's `source`, into another warehouse."""
    with cloned_warehouse(postgres, template) as warehouse:
        return requests_of_clean_sync(source, make_settings(source, warehouse), warehouse)
