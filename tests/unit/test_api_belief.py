"""Which responses are accepted as proof of their rows, or of having none."""

import itertools
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from lcm_pipeline.api.errors import (
    IncompleteError,
    LoyaltyApiError,
    MalformedError,
    WrongClientError,
)
from lcm_pipeline.api.paging import read_favourite_goods, read_page, read_registrations
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    LEADS_PAGING_INFO,
    OPERATION_HISTORY,
)
from lcm_pipeline.model.pages import PageRequest
from tests.unit.api_service import Response, Service, run

Read = Callable[[Any], Any]

READS: dict[str, tuple[Read, str, str | None]] = {
    "registrations": (
        lambda api: read_registrations(api, datetime(2026, 3, 1), datetime(2026, 3, 2)),
        "Clients",
        None,
    ),
    "operations": (
        lambda api: read_page(api, OPERATION_HISTORY, 7, PageRequest(1, 50)),
        "Operations",
        "Rows",
    ),
    "leads": (
        lambda api: read_page(api, LEADS_PAGING_INFO, 7, PageRequest(1, 50)),
        "LeadsClients",
        "TotalRows",
    ),
    "favourites": (
        lambda api: read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 50)),
        "ClientFavorites",
        "TotalRows",
    ),
    "goods": (
        lambda api: read_favourite_goods(api, 7, 4, PageRequest(1, 50)),
        "ListFavorites",
        None,
    ),
}
WITH_TOTAL = {name: read for name, read in READS.items() if read[2] is not None}
every_read = pytest.mark.parametrize(("read", "rows", "total"), READS.values(), ids=READS)
every_read_with_total = pytest.mark.parametrize(
    ("read", "rows", "total"), WITH_TOTAL.values(), ids=WITH_TOTAL
)
read_history = READS["operations"][0]


def to_xml(members: dict[str, Any]) -> bytes:
    def text(value: Any) -> str:
        if isinstance(value, list):
            return "".join(f"<Row>{text(row)}</Row>" for row in value)
        if isinstance(value, dict):
            return "".join(f"<{n}>{text(v)}</{n}>" for n, v in value.items())
        return str(value)

    nil = ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"'
    parts = [
        f"<{name}{nil}/>" if value is None else f"<{name}>{text(value)}</{name}>"
        for name, value in members.items()
    ]
    return f"<Response>{''.join(parts)}</Response>".encode()


def in_each_format(members: dict[str, Any]) -> tuple[Response, Response, Response]:
    """The same response in JSON, in JSON that needs the tolerant parser, and in XML."""
    odd = json.dumps(members).encode()[:-1] + b',"Odd":"\x0b"}'
    return (
        Response(members),
        Response(odd),
        Response(to_xml(members), content_type="application/xml"),
    )


def assert_retries_fail(members: dict[str, Any], read: Read, message: str) -> None:
    for response in in_each_format(members):
        service = Service(otherwise=lambda _, response=response: response)
        with pytest.raises(IncompleteError) as caught:
            run(service, read)
        assert len(service.requests) == 6
        assert message in str(caught.value)


@every_read
def test_a_response_without_its_list_proves_nothing(
    read: Read, rows: str, total: str | None
) -> None:
    members: dict[str, Any] = {"ErrorCode": 0, "Message": None} | ({total: 0} if total else {})
    assert_retries_fail(members, read, f"the response lacks {rows}")
    assert_retries_fail({"ErrorCode": 0}, read, f"the response lacks {rows}")


@pytest.mark.parametrize(("name", "other"), list(itertools.permutations(READS, 2)))
def test_a_response_to_another_request_proves_nothing(name: str, other: str) -> None:
    read, rows, _ = READS[name]
    _, other_rows, other_total = READS[other]
    members = {"ErrorCode": 0, other_rows: []} | ({other_total: 0} if other_total else {})
    assert_retries_fail(members, read, f"the response lacks {rows}")


@pytest.mark.parametrize("found", [[], [{"Id": 1, "ComponentType": 1, "Leads": 1}]])
@every_read_with_total
def test_a_response_without_its_total_proves_nothing(
    read: Read, rows: str, total: str, found: list[Any]
) -> None:
    assert_retries_fail({"ErrorCode": 0, rows: found}, read, f"the response lacks {total}")


@every_read_with_total
def test_null_is_an_empty_list_only_if_the_total_is_zero(read: Read, rows: str, total: str) -> None:
    for claimed in (None, 5, -1):
        assert_retries_fail({"ErrorCode": 0, rows: None, total: claimed}, read, f"{rows} is null")
    for response in in_each_format({"ErrorCode": 0, rows: None, total: 0}):
        page = run(Service(response), read)
        assert (page.rows, page.total) == ((), 0)


def test_null_goods_of_an_offer_prove_nothing_and_null_registrations_are_empty() -> None:
    goods, registrations = READS["goods"][0], READS["registrations"][0]
    assert_retries_fail({"ErrorCode": 0, "ListFavorites": None}, goods, "is null")
    for response in in_each_format({"ErrorCode": 0, "Clients": None}):
        assert run(Service(response), registrations).rows == ()


@every_read
def test_an_empty_list_with_its_total_is_accepted_at_once(
    read: Read, rows: str, total: str | None
) -> None:
    for claimed in (0, None):
        for response in in_each_format(
            {"ErrorCode": 0, rows: []} | ({total: claimed} if total else {})
        ):
            service = Service(response)
            run(service, read)
            assert len(service.requests) == 1


def test_an_incomplete_response_is_requested_again() -> None:
    service = Service(Response({"ErrorCode": 0}))
    assert run(service, read_history).total == 0
    assert len(service.requests) == 2


def history_of(client: Any) -> dict[str, Any]:
    row = {"Id": 1, "ComponentType": 2, "Proctime": "t"}
    return {"ErrorCode": 0, "Client": client, "Rows": 1, "Operations": [row]}


@pytest.mark.parametrize("named", [1003, "1003", "0001003", "+1003", " 1003 ", 1003.0, -7, 2**62])
def test_a_response_about_another_client_is_never_proof(named: Any) -> None:
    for response in in_each_format(history_of(named)):
        service = Service(otherwise=lambda _, response=response: response)
        with pytest.raises(WrongClientError) as caught:
            run(service, read_history)
        assert len(service.requests) == 6
        assert f"about client {int(named)}" in str(caught.value)
        assert "for client 7 " in str(caught.value)
        assert len(run(Service(response, Response(history_of(7))), read_history).rows) == 1


@pytest.mark.parametrize("named", [7, "7", 7.0, 0, None])
def test_a_response_about_its_client_or_without_a_client_is_accepted(named: Any) -> None:
    for response in in_each_format(history_of(named)):
        assert len(run(Service(response), read_history).rows) == 1


def test_an_error_code_is_reported_before_a_missing_list_or_another_client() -> None:
    for members in ({"ErrorCode": 5}, history_of(1003) | {"ErrorCode": 5}):
        with pytest.raises(LoyaltyApiError, match="ErrorCode 5"):
            run(Service(Response(members)), read_history)


def test_a_large_response_of_tiny_values_is_refused_before_it_exhausts_memory() -> None:
    for rows in (b"1," * 3_000_000, b"{}," * 2_000_000, b'{"a":1},' * 700_000, b"[" * 5_000_000):
        body = b'{"ErrorCode":0,"Rows":1,"Operations":[%s1]}' % rows
        service = Service(otherwise=lambda _, body=body: Response(body))
        with pytest.raises(MalformedError, match="more values than any real response"):
            run(service, read_history)
