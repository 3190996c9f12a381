"""The API client with the simulator: both formats, a path prefix, a bearer token, faults."""

import asyncio
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import msgspec
import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.paging import read_favourite_goods, read_page, read_registrations
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    CLIENT_UPDATE,
    LEADS_PAGING_INFO,
    OPERATION_HISTORY,
)
from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.model.payloads import (
    FavouriteGroup,
    FavouriteOffer,
    Lead,
    Operation,
    Registration,
    SetClientUpdateRequest,
    decode_row,
    unknown_fields,
)
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.configuration import SimulatorConfig
from lcm_pipeline.simulator.server import RunningSimulator

FROM, TO = datetime(2026, 3, 1), datetime(2026, 3, 11)
READS = (
    (OPERATION_HISTORY, Operation),
    (LEADS_PAGING_INFO, Lead),
    (CLIENT_FAVORITE_DATA_INFO, FavouriteOffer),
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    config = SimulatorConfig(
        seed=7,
        clients=60,
        start=date(2026, 3, 1),
        now=datetime(2026, 3, 11),
        prefix="/WebService/XYZ/",
        token=42,
        username="robot",
        password="open-the-door",
    )
    with RunningSimulator(config) as running:
        yield running


def run(simulator: RunningSimulator, act: Any, **settings: Any) -> Any:
    defaults: dict[str, Any] = {
        "api_url": simulator.url,
        "token": "42",
        "username": "robot",
        "password": "open-the-door",
    }

    async def main() -> Any:
        chosen = Settings(_env_file=None, **(defaults | settings))
        quick = RetryPolicy(first_wait=0.01)
        async with LoyaltyApi.from_settings(chosen, policy=quick) as api:
            return await act(api)

    return asyncio.run(main())


async def read_everything(api: LoyaltyApi) -> list[tuple[type[msgspec.Struct], Page]]:
    registrations = await read_registrations(api, FROM, TO)
    pages: list[tuple[type[msgspec.Struct], Page]] = [(Registration, registrations)]
    clients = sorted({decode_row(row.raw, Registration).Client or 0 for row in registrations.rows})
    for client in clients:
        for endpoint, row_type in READS:
            pages.append((row_type, await read_page(api, endpoint, client, PageRequest(1, 500))))
    return pages


def read_envelope(page: Page) -> Any:
    """The envelope with decoded groups, because XML has another order and types of their fields."""
    if page.envelope is None:
        return None
    envelope = msgspec.json.decode(page.envelope, type=dict[str, msgspec.Raw])
    groups = msgspec.json.decode(
        envelope.pop("GroupFavorites", b"[]"), type=list[msgspec.Raw] | None
    )
    plain = {name: bytes(value) for name, value in envelope.items()}
    return plain, [decode_row(bytes(group), FavouriteGroup) for group in groups or ()]


def test_both_formats_return_the_same_complete_rows(simulator: RunningSimulator) -> None:
    in_json = run(simulator, read_everything)
    in_xml = run(simulator, read_everything, api_format="xml")
    rows = 0
    for (row_type, one), (_, other) in zip(in_json, in_xml, strict=True):
        assert not (one.is_suspicious or other.is_suspicious)
        assert (one.total, read_envelope(one)) == (other.total, read_envelope(other))
        assert one.total in (None, len(one.rows))
        assert [(r.key, r.moment) for r in one.rows] == [(r.key, r.moment) for r in other.rows]
        assert all(unknown_fields(row.raw, row_type) is None for row in one.rows)
        decoded = [[decode_row(r.raw, row_type) for r in page.rows] for page in (one, other)]
        assert decoded[0] == decoded[1]
        rows += len(one.rows)
    assert rows > 300


@pytest.mark.parametrize("api_format", ["json", "xml"])
def test_the_goods_are_returned_with_the_requested_offer(
    simulator: RunningSimulator, api_format: str
) -> None:
    async def act(api: LoyaltyApi) -> int:
        goods = 0
        for client in simulator.world.programme.customers:
            offers = await read_page(api, CLIENT_FAVORITE_DATA_INFO, client, PageRequest(1, 500))
            for offer in offers.rows[:1]:
                favourite = decode_row(offer.raw, FavouriteOffer).Id or 0
                page, offer_ids = await read_favourite_goods(
                    api, client, favourite, PageRequest(1, 500)
                )
                assert favourite in offer_ids
                assert all(row.key[0] != "?" for row in page.rows)  # type: ignore[index]
                goods += len(page.rows)
        return goods

    assert run(simulator, act, api_format=api_format) > 0


@pytest.mark.parametrize("api_format", ["json", "xml"])
def test_an_update_arrives_completely(simulator: RunningSimulator, api_format: str) -> None:
    client = min(simulator.world.programme.customers)
    update = SetClientUpdateRequest(
        Client=client, Name="Анна <&>", AllowSms=False, Birthdate="1990-05-01T00:00:00"
    )
    response = run(simulator, lambda api: api.call(CLIENT_UPDATE, update), api_format=api_format)
    assert (response.ErrorCode, response.Message or "") == (0, "")
    profile = simulator.world.programme.customers[client].profile
    assert (profile.Name, profile.AllowSms) == ("Анна <&>", False)
