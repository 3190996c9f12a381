"""Payloads, endpoints and formats agree with the vendor's samples."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lxml import etree

from lcm_pipeline.api.xml_format import encode_xml, xml_to_json
from lcm_pipeline.model.endpoints import ENDPOINTS, FAVOURITE_GOODS, Endpoint
from lcm_pipeline.model.payloads import (
    FavouriteGood,
    FavouriteGroup,
    FavouriteOffer,
    Lead,
    Operation,
    Registration,
    decode_row,
    unknown_fields,
)

SAMPLES = Path(__file__).parent.parent / "samples"

LISTS: dict[str, type[msgspec.Struct]] = {
    "Clients": Registration,
    "Operations": Operation,
    "LeadsClients": Lead,
    "ClientFavorites": FavouriteOffer,
    "ListFavorites": FavouriteGood,
    "GroupFavorites": FavouriteGroup,
}

every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.name)


def sample(endpoint: Endpoint[Any, Any], kind: str, ending: str) -> bytes:
    return (SAMPLES / f"{endpoint.name}.{kind}.{ending}").read_bytes()


def fields_of(struct_type: type[msgspec.Struct]) -> set[str]:
    return set(struct_type.__struct_fields__)


@every_endpoint
def test_the_request_has_exactly_the_fields_of_the_sample(endpoint: Endpoint[Any, Any]) -> None:
    given = json.loads(sample(endpoint, "request", "json"))
    assert fields_of(endpoint.request_type) == set(given)
    request = msgspec.json.decode(sample(endpoint, "request", "json"), type=endpoint.request_type)
    assert json.loads(msgspec.json.encode(request)) == given


@every_endpoint
def test_the_response_has_exactly_the_fields_of_the_sample(endpoint: Endpoint[Any, Any]) -> None:
    body = sample(endpoint, "response", "json")
    given = json.loads(body)
    assert fields_of(endpoint.response_type) == set(given)
    response = msgspec.json.decode(body, type=endpoint.response_type)
    for name, value in given.items():
        if isinstance(value, list):
            row_type = LISTS[name]
            for raw, row in zip(getattr(response, name), value, strict=True):
                assert fields_of(row_type) == set(row)
                assert unknown_fields(bytes(raw), row_type) is None
                assert json.loads(msgspec.json.encode(decode_row(bytes(raw), row_type))) == {
                    n: "1.0" if type(v) is float else v for n, v in row.items()
                }


def test_each_endpoint_reads_the_rows_of_its_list() -> None:
    read = {e.rows_field: e.row_type for e in (*ENDPOINTS, FAVOURITE_GOODS) if e.rows_field}
    assert read == {name: kind for name, kind in LISTS.items() if name != "GroupFavorites"}


@every_endpoint
def test_the_request_equals_the_sample_in_xml_too(endpoint: Endpoint[Any, Any]) -> None:
    request = msgspec.json.decode(sample(endpoint, "request", "json"), type=endpoint.request_type)
    assert canonical(encode_xml(endpoint, request)) == canonical(sample(endpoint, "request", "xml"))


@every_endpoint
def test_a_response_in_xml_has_the_content_of_the_one_in_json(
    endpoint: Endpoint[Any, Any],
) -> None:
    as_json = xml_to_json(endpoint.response_type, sample(endpoint, "response", "xml"))
    decode = msgspec.json.Decoder(endpoint.response_type, strict=False).decode
    one, other = decode(as_json), decode(sample(endpoint, "response", "json"))
    for name in one.__struct_fields__:
        if name in LISTS:
            row_type = LISTS[name]
            rows = [
                [decode_row(bytes(raw), row_type) for raw in getattr(response, name)]
                for response in (one, other)
            ]
            assert rows[0] == rows[1]
        else:
            assert getattr(one, name) == getattr(other, name)


def canonical(xml: bytes) -> bytes:
    parser = etree.XMLParser(remove_blank_text=True)
    canonical_xml: bytes = etree.tostring(etree.fromstring(xml, parser), method="c14n")
    return canonical_xml
