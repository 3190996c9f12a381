"""Fixtures of the write-back tests; a module that needs other clients defines its own."""

import pytest

from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import Programme
from tests.outbox import enrol


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    """A programme of twelve clients."""
    return programme(clients=12)


@pytest.fixture
def clients(warehouse: Warehouse, source: RunningSimulator) -> list[int]:
    """All clients of the source, on the roster."""
    return enrol(warehouse, source)
