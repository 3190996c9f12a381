"""The simulator agrees with the vendor's samples: names, order, namespaces, in both formats."""

import json
from typing import Any

import httpx
import pytest
from lxml import etree

from lcm_pipeline.simulator import endpoints
from lcm_pipeline.simulator.requests import read_json as read_request_json
from lcm_pipeline.simulator.requests import read_xml
from lcm_pipeline.simulator.server import RunningSimulator
from tests.contract.simulator_calls import (
    ENDPOINTS,
    SAMPLES,
    busiest,
    fetch,
    post,
    read_json,
    small_config,
)

NIL = f"{{{endpoints.INSTANCE}}}nil"


@pytest.fixture(scope="module")
def simulator():
    with RunningSimulator(small_config(clients=120)) as running:
        yield running


def full_request(simulator: RunningSimulator, endpoint: str) -> dict[str, Any]:
    """A request whose response has rows in every collection."""
    if endpoint == "ClientInfoPeriod":
        return {"Registration": True}
    if endpoint == "ClientFavoriteDataInfo":
        for customer in simulator.world.programme.customers.values():
            if customer.chosen:
                offer = customer.shelves["offers"].newest_first()[0].row["Id"]
                return {"Client": customer.id, "ClientFavoriteId": offer}
    kind = "leads" if endpoint == "LeadsPagingInfo" else "operations"
    return {"Client": busiest(simulator, kind)}


def sample_json(name: str) -> dict[str, Any]:
    return json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))


def sample_xml(name: str) -> Any:
    return etree.parse(SAMPLES / f"{name}.xml").getroot()


def outline(element: Any) -> list[tuple[int, str]]:
    """Tags with their depth, in order; of repeated rows, only the first."""
    lines: list[tuple[int, str]] = []

    def walk(node: Any, depth: int) -> None:
        lines.append((depth, node.tag))
        seen: set[str] = set()
        for child in node:
            if "." in str(child.tag).rpartition("}")[2] and child.tag in seen:
                continue
            seen.add(child.tag)
            walk(child, depth + 1)

    walk(element, 0)
    return lines


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_json_responses_have_the_fields_of_the_sample_in_its_order(simulator, endpoint):
    sample = sample_json(f"{endpoint}.response")
    response = fetch(simulator, endpoint, **full_request(simulator, endpoint))
    assert list(response) == list(sample)
    for name, content in sample.items():
        if isinstance(content, list):
            assert response[name], f"{endpoint} returned no {name}"
            assert all(list(row) == list(content[0]) for row in response[name])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_xml_responses_have_the_elements_of_the_sample_in_its_order(simulator, endpoint):
    response = httpx.post(
        f"{simulator.url}api/client/{endpoint}",
        json=full_request(simulator, endpoint),
        headers={"Accept": "application/xml"},
    )
    assert response.headers["content-type"].startswith("application/xml")
    assert outline(etree.fromstring(response.content)) == outline(
        sample_xml(f"{endpoint}.response")
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_both_formats_of_a_response_have_the_same_content(simulator, endpoint):
    request = full_request(simulator, endpoint)
    as_json = fetch(simulator, endpoint, **request)
    response = httpx.post(
        f"{simulator.url}api/client/{endpoint}", json=request, headers={"Accept": "text/xml"}
    )
    root = etree.fromstring(response.content)
    found = {etree.QName(child).localname: child for child in root}
    for name, value in as_json.items():
        if isinstance(value, list):
            rows = [{etree.QName(cell).localname: cell for cell in row} for row in found[name]]
            assert [{k: text_of(c) for k, c in row.items()} for row in rows] == [
                {k: written(v) for k, v in row.items()} for row in value
            ]
        else:
            assert text_of(found[name]) == written(value)


def text_of(element: Any) -> str | None:
    return None if element.get(NIL) == "true" else element.text or ""


def written(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_vendors_requests_are_read_completely_and_equally_in_both_formats(endpoint):
    described = endpoints.ENDPOINTS[endpoint]
    sample = sample_json(f"{endpoint}.request")
    from_json = read_request_json(described, json.dumps(sample).encode())
    from_xml = read_xml(described, (SAMPLES / f"{endpoint}.request.xml").read_bytes())
    assert set(from_json) == set(sample)
    assert from_json == from_xml


def test_a_misplaced_xml_element_is_silently_ignored():
    described = endpoints.ENDPOINTS["OperationHistory"]
    root = sample_xml("OperationHistory.request")
    start = root.find(f"{{{endpoints.REQUESTS}}}Start")
    root.insert(0, start)
    request = read_xml(described, etree.tostring(root))
    assert "Operator" not in request
    root = sample_xml("OperationHistory.request")
    root.append(root.find(f"{{{endpoints.REQUESTS}}}Client"))
    request = read_xml(described, etree.tostring(root))
    assert "Client" not in request
    assert request["Start"] == 1


def test_a_nil_element_is_an_absent_field():
    described = endpoints.ENDPOINTS["OperationHistory"]
    root = sample_xml("OperationHistory.request")
    root.find(f"{{{endpoints.REQUESTS}}}Cheque").set(NIL, "true")
    assert "Cheque" not in read_xml(described, etree.tostring(root))


def test_an_xml_request_gets_an_xml_response_unless_it_accepts_json(simulator):
    body = (SAMPLES / "OperationHistory.request.xml").read_bytes()
    address = f"{simulator.url}api/client/OperationHistory"
    kind = {"Content-Type": "application/xml; charset=utf-8"}
    as_sent = httpx.post(address, content=body, headers={**kind, "Accept": "*/*"})
    as_accepted = httpx.post(address, content=body, headers={**kind, "Accept": "application/json"})
    assert as_sent.headers["content-type"].startswith("application/xml")
    assert as_accepted.headers["content-type"].startswith("application/json")


def test_an_invalid_body_gets_500_without_an_error_code(simulator):
    address = f"{simulator.url}api/client/OperationHistory"
    for kind, body in (
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/xml", b"<Other/>"),
    ):
        response = httpx.post(address, content=body, headers={"Content-Type": kind})
        assert response.status_code == 500
        assert response.json() == {"Message": "An error has occurred."}


def test_money_and_long_numbers_are_written_exactly(simulator):
    text = post(simulator, "ClientInfoPeriod", Registration=True).text
    cards = {row["Card"] for row in read_json(text)["Clients"]}
    assert any(card > 2**53 for card in cards)
    assert cards == {row["Card"] for row in simulator.world.truth()["registrations"]}
