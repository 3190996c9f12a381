"""What a response must hold before its rows, or that there are none, are believed."""

import asyncio
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
from tests.unit.api_service import Answer, Service, connected

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
every_read = pytest.mark.parametrize(("read", "rows", "total"), READS.values(), ids=READS)
read_history = READS["operations"][0]


def run(service: Service, act: Read) -> Any:
    async def main() -> Any:
        async with connected(service) as api:
            return await act(api)

    return asyncio.run(main())


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


def answers(members: dict[str, Any]) -> tuple[Answer, Answer, Answer]:
    """The same in JSON, in JSON that is read tolerantly, and in XML."""
    odd = json.dumps(members).encode()[:-1] + b',"Odd":"\x0b"}'
    return Answer(members), Answer(odd), Answer(to_xml(members), content_type="application/xml")


def assert_asked_again_in_vain(members: dict[str, Any], read: Read, says: str) -> None:
    for answer in answers(members):
        service = Service(otherwise=lambda _, answer=answer: answer)
        with pytest.raises(IncompleteError) as caught:
            run(service, read)
        assert len(service.asked) == 6
        assert caught.value.rerun_helps
        assert says in str(caught.value)


@every_read
def test_a_response_without_its_list_proves_nothing(
    read: Read, rows: str, total: str | None
) -> None:
    members: dict[str, Any] = {"ErrorCode": 0, "Message": None} | ({total: 0} if total else {})
    assert_asked_again_in_vain(members, read, f"the response lacks {rows}")
    assert_asked_again_in_vain({"ErrorCode": 0}, read, f"the response lacks {rows}")


@pytest.mark.parametrize("other", READS)
@every_read
def test_a_response_to_another_request_proves_nothing(
    read: Read, rows: str, total: str | None, other: str
) -> None:
    _, other_rows, other_total = READS[other]
    members = {"ErrorCode": 0, other_rows: []} | ({other_total: 0} if other_total else {})
    if other_rows != rows:
        assert_asked_again_in_vain(members, read, f"the response lacks {rows}")


@pytest.mark.parametrize("found", [[], [{"Id": 1, "ComponentType": 1, "Leads": 1}]])
@every_read
def test_a_response_without_its_total_proves_nothing(
    read: Read, rows: str, total: str | None, found: list[Any]
) -> None:
    if total:
        members = {"ErrorCode": 0, rows: found}
        assert_asked_again_in_vain(members, read, f"the response lacks {total}")


@every_read
def test_null_is_an_empty_list_only_where_the_total_says_so(
    read: Read, rows: str, total: str | None
) -> None:
    if total is None:
        return
    for claimed in (None, 5, -1):
        assert_asked_again_in_vain(
            {"ErrorCode": 0, rows: None, total: claimed}, read, f"{rows} is null"
        )
    for answer in answers({"ErrorCode": 0, rows: None, total: 0}):
        page = run(Service(answer), read)
        assert (page.rows, page.total) == ((), 0)


def test_null_goods_of_an_offer_prove_nothing_and_null_registrations_are_none() -> None:
    goods, registrations = READS["goods"][0], READS["registrations"][0]
    assert_asked_again_in_vain({"ErrorCode": 0, "ListFavorites": None}, goods, "is null")
    for answer in answers({"ErrorCode": 0, "Clients": None}):
        assert run(Service(answer), registrations).rows == ()


@every_read
def test_an_empty_list_beside_its_total_is_believed_at_once(
    read: Read, rows: str, total: str | None
) -> None:
    for claimed in (0, None):
        for answer in answers({"ErrorCode": 0, rows: []} | ({total: claimed} if total else {})):
            service = Service(answer)
            run(service, read)
            assert len(service.asked) == 1


def test_an_incomplete_response_is_asked_again_and_a_whole_one_wins() -> None:
    service = Service(Answer({"ErrorCode": 0}))
    assert run(service, read_history).total == 0
    assert len(service.asked) == 2


def history_of(client: Any) -> dict[str, Any]:
    row = {"Id": 1, "ComponentType": 2, "Proctime": "t"}
    return {"ErrorCode": 0, "Client": client, "Rows": 1, "Operations": [row]}


@pytest.mark.parametrize("named", [1003, "1003", "0001003", "+1003", " 1003 ", 1003.0, -7, 2**62])
def test_a_response_about_another_client_is_never_proof(named: Any) -> None:
    for answer in answers(history_of(named)):
        service = Service(otherwise=lambda _, answer=answer: answer)
        with pytest.raises(WrongClientError) as caught:
            run(service, read_history)
        assert len(service.asked) == 6
        assert caught.value.rerun_helps
        assert f"about client {int(named)}" in str(caught.value)
        assert "for client 7 " in str(caught.value)
        assert len(run(Service(answer, Answer(history_of(7))), read_history).rows) == 1


@pytest.mark.parametrize("named", [7, "7", 7.0, 0, None])
def test_a_response_about_its_client_or_about_nobody_is_believed(named: Any) -> None:
    for answer in answers(history_of(named)):
        assert len(run(Service(answer), read_history).rows) == 1


def test_an_error_code_is_told_before_what_is_missing_or_of_another_client() -> None:
    for members in ({"ErrorCode": 5}, history_of(1003) | {"ErrorCode": 5}):
        with pytest.raises(LoyaltyApiError, match="ErrorCode 5"):
            run(Service(Answer(members)), read_history)


def test_a_large_response_of_tiny_values_is_refused_before_it_fills_the_memory() -> None:
    for rows in (b"1," * 3_000_000, b"{}," * 2_000_000, b'{"a":1},' * 700_000, b"[" * 5_000_000):
        body = b'{"ErrorCode":0,"Rows":1,"Operations":[%s1]}' % rows
        service = Service(otherwise=lambda _, body=body: Answer(body))
        with pytest.raises(MalformedError, match="more values than any real response"):
            run(service, read_history)
