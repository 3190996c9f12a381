"""Calls of the simulator over plain HTTP for its tests; money is read as Decimal."""

import json
import ssl
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from lcm_pipeline.simulator.configuration import SimulatorConfig
from lcm_pipeline.simulator.server import RunningSimulator
from tests.waiting import PATIENCE

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # shared: httpx would load one per call
SAMPLES = Path(__file__).parent.parent / "samples"
ENDPOINTS = (
    "ClientInfoPeriod",
    "OperationHistory",
    "LeadsPagingInfo",
    "ClientFavoriteDataInfo",
    "ClientUpdate",
)


def small_config(**settings: Any) -> SimulatorConfig:
    """A world of 60 clients over ten days."""
    defaults: dict[str, Any] = {
        "seed": 7,
        "clients": 60,
        "start": date(2026, 3, 1),
        "now": datetime(2026, 3, 11),
    }
    return SimulatorConfig(**{**defaults, **settings})


def read_json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def post(simulator: RunningSimulator, endpoint: str, **request: Any) -> httpx.Response:
    return httpx.post(
        f"{simulator.url}api/client/{endpoint}", json=request, timeout=PATIENCE, verify=TLS
    )


def fetch(simulator: RunningSimulator, endpoint: str, **request: Any) -> dict[str, Any]:
    """The response to a request, as JSON; raises AssertionError unless the status is 200."""
    response = post(simulator, endpoint, **request)
    assert response.status_code == 200, response.text
    return read_json(response.text)


def control(simulator: RunningSimulator, path: str, content: Any = None) -> Any:
    """Read from the control API, or send content to it."""
    address = simulator.control_url + path
    if content is None:
        response = httpx.get(address, timeout=PATIENCE, verify=TLS)
    else:
        response = httpx.post(address, json=content, timeout=PATIENCE, verify=TLS)
    assert response.status_code == 200, response.text
    return read_json(response.text)


def busiest(simulator: RunningSimulator, kind: str = "operations") -> int:
    """The client with the most rows of a kind."""
    everyone = simulator.world.programme.customers.values()
    return max(everyone, key=lambda customer: len(customer.shelves[kind])).id


def keys(rows: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(row["ComponentType"], row["Id"]) for row in rows]
