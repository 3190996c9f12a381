"""Pages: rows, totals, envelopes, and suspicious responses."""

import json
from datetime import datetime
from typing import Any

from lcm_pipeline.api.paging import read_favourite_goods, read_page, read_registrations
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    ENDPOINTS,
    LEADS_PAGING_INFO,
    OPERATION_HISTORY,
)
from lcm_pipeline.model.pages import PageRequest
from tests.unit.api_service import Response, Service, run

NUMBERS = (
    "MaxLinkGoods", "NowLinkGoods", "RemainLinkGoods", "RemainCountPurchases", "RemainGain",
    "RemainEveryGain", "CountOffer", "CountConfirm", "CountPurchases", "SumGain", "AvgFavorite",
    "AvgAll",
)  # fmt: skip
NO_OFFERS = {"ErrorCode": 0, "TotalRows": 0, "ClientFavorites": []}


def operations(*ids: int, total: int | None = None, **fields: Any) -> dict[str, Any]:
    rows = [{"Id": number, "ComponentType": 1, "Proctime": f"t{number}"} for number in ids]
    return {
        "Rows": len(ids) if total is None else total,
        "Operations": rows,
        "ErrorCode": 0,
    } | fields


def read_operations(api: Any) -> Any:
    return read_page(api, OPERATION_HISTORY, 7, PageRequest(1, 50))


def test_a_page_is_its_rows_its_total_and_its_envelope() -> None:
    service = Service(Response(operations(3, 2, total=9, Client=7, Phone=9001234567, New=1)))
    page = run(service, read_operations)
    assert [row.key for row in page.rows] == [(1, 3), (1, 2)]
    assert [row.moment for row in page.rows] == ["t3", "t2"]
    assert (page.total, page.is_suspicious) == (9, False)
    assert json.loads(page.envelope) == {"Client": 7, "Phone": 9001234567}
    assert service.requests[0].json == {"Client": 7, "Start": 1, "Length": 50}


def test_a_page_may_have_more_rows_than_requested_or_none() -> None:
    async def act(api: Any) -> Any:
        return [await read_page(api, OPERATION_HISTORY, 7, PageRequest(1, 1)) for _ in range(2)]

    none = {"Rows": 0, "Operations": None, "ErrorCode": 0}
    pages = run(Service(Response(operations(2, 1)), Response(none)), act)
    assert [len(page.rows) for page in pages] == [2, 0]
    assert [page.total for page in pages] == [2, 0]


def test_the_envelope_of_favourites_is_the_twelve_numbers_and_the_groups() -> None:
    numbers = dict.fromkeys(NUMBERS, 1)
    response = numbers | {
        "TotalRows": 1, "TotalRowsSelect": 1, "SumGain": 1.50, "ErrorCode": 0, "Extra": 5,
        "ClientFavorites": [{"Id": 4}], "GroupFavorites": [{"Id": 1, "Name": "a"}],
        "ListFavorites": [],
    }  # fmt: skip
    page = run(
        Service(Response(response)),
        lambda api: read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 5)),
    )
    expected = numbers | {"SumGain": 1.5, "GroupFavorites": [{"Id": 1, "Name": "a"}]}
    assert json.loads(page.envelope) == expected
    assert [row.key for row in page.rows] == [(4,)]


def test_goods_next_to_the_offers_are_part_of_the_envelope() -> None:
    response = NO_OFFERS | {"ListFavorites": [{"Id": 4, "ListDataId": 8}]}
    page = run(
        Service(Response(response)),
        lambda api: read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 5)),
    )
    assert json.loads(page.envelope)["ListFavorites"] == [{"Id": 4, "ListDataId": 8}]


def test_equal_envelopes_are_equal_bytes_whatever_their_formatting() -> None:
    spellings = (
        b'{"ErrorCode":0,"SumGain":1.50,"GroupFavorites":[{"Id":1}],%s}',
        b'{ "GroupFavorites" : [ {"Id" : 1} ], "SumGain" : "1.5", "ErrorCode" : 0, %s }',
        b'{"ErrorCode":0,"SumGain":1.5,"TotalRowsSelect":"x","GroupFavorites":[{"Id":1}],%s}',
        b'{"ErrorCode":0,"SumGain":1.5,"Message":"\x0b","GroupFavorites":[{"Id":1} ],%s}',
    )
    rest = b'"TotalRows":0,"ClientFavorites":[]'

    async def act(api: Any) -> Any:
        return [
            await read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 5)) for _ in spellings
        ]

    pages = run(Service(*(Response(body % rest) for body in spellings)), act)
    assert len({page.envelope for page in pages}) == 1


def test_an_envelope_has_exactly_the_members_that_were_sent() -> None:
    response = NO_OFFERS | {"SumGain": None, "AvgAll": 0, "ListFavorites": None}
    page = run(
        Service(Response(response)),
        lambda api: read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 5)),
    )
    assert json.loads(page.envelope) == {"SumGain": None, "AvgAll": 0}


def test_leads_have_no_envelope() -> None:
    service = Service(Response({"ErrorCode": 0, "TotalRows": 0, "LeadsClients": []}))
    page = run(service, lambda api: read_page(api, LEADS_PAGING_INFO, 7, PageRequest(1, 5)))
    assert page.envelope is None


def test_registrations_are_requested_in_service_time() -> None:
    rows = [{"Client": 1, "Card": 2, "RegDate": "2026-03-01T10:00:00"}]
    service = Service(Response({"ErrorCode": 0, "Clients": rows}))
    page = run(
        service, lambda api: read_registrations(api, datetime(2026, 3, 1), datetime(2026, 3, 2))
    )
    assert service.requests[0].json == {
        "BegDate": "2026-03-01T00:00:00", "EndDate": "2026-03-02T00:00:00", "Registration": True
    }  # fmt: skip
    assert [row.key for row in page.rows] == [(1, 2)]
    assert (page.total, page.envelope) == (None, None)


def test_goods_of_an_offer_are_keyed_by_their_list_id_and_report_the_offers_seen() -> None:
    response = {
        "ErrorCode": 0,
        "TotalRows": 1,
        "ClientFavorites": [{"Id": 4}, {"Id": "x"}],
        "ListFavorites": [{"Id": 4, "ListDataId": 8}, {"Id": 4, "ListDataId": 9}],
    }
    service = Service(Response(response))
    goods = run(service, lambda api: read_favourite_goods(api, 7, 4, PageRequest(1, 50)))
    assert service.requests[0].json == {
        "Client": 7,
        "ClientFavoriteId": 4,
        "Start": 1,
        "Length": 50,
    }
    assert [row.key for row in goods.page.rows] == [(8,), (9,)]
    assert goods.offer_ids == {4}
    assert goods.page.total is None


def test_a_clean_second_response_is_used() -> None:
    service = Service(Response(operations(Message="Сбой")), Response(operations(2, 1)))
    page = run(service, read_operations)
    assert (len(page.rows), page.is_suspicious) == (2, False)


def test_a_message_repeated_with_equal_rows_is_learned_as_information() -> None:
    service = Service(otherwise=lambda _: Response(operations(2, 1, Message="Готово")))

    async def act(api: Any) -> Any:
        return [await read_operations(api) for _ in range(3)]

    pages = run(service, act)
    assert [page.is_suspicious for page in pages] == [False, False, False]
    assert len(service.requests) == 4


def test_a_message_learned_from_one_endpoint_does_not_apply_to_another() -> None:
    leads = {"ErrorCode": 0, "TotalRows": 0, "LeadsClients": [], "Message": "Готово"}
    service = Service(
        *(Response(operations(2, 1, Message="Готово")) for _ in range(2)),
        Response(leads),
        Response(leads),
    )

    async def act(api: Any) -> None:
        await read_operations(api)
        await read_page(api, LEADS_PAGING_INFO, 7, PageRequest(1, 5))

    run(service, act)
    assert len(service.requests) == 4


def test_the_message_of_an_empty_response_is_never_learned() -> None:
    service = Service(otherwise=lambda _: Response(operations(Message="Нет операций")))

    async def act(api: Any) -> Any:
        return [await read_operations(api) for _ in range(3)]

    assert [page.is_suspicious for page in run(service, act)] == [False, False, False]
    assert len(service.requests) == 6


def test_registrations_with_a_message_need_two_equal_responses_each_time() -> None:
    response = {"ErrorCode": 0, "Clients": [{"Client": 1, "Card": 2}], "Message": "Готово"}
    service = Service(otherwise=lambda _: Response(response))

    async def act(api: Any) -> Any:
        day = datetime(2026, 3, 1), datetime(2026, 3, 2)
        return [await read_registrations(api, *day) for _ in range(2)]

    assert [page.is_suspicious for page in run(service, act)] == [False, False]
    assert len(service.requests) == 4


def test_responses_that_never_agree_leave_the_page_suspicious() -> None:
    service = Service(*(Response(operations(number, Message="Сбой")) for number in (1, 2, 3)))
    page = run(service, read_operations)
    assert page.is_suspicious
    assert len(service.requests) == 3


def test_a_time_out_message_is_never_accepted() -> None:
    service = Service(otherwise=lambda _: Response(operations(1, Message="Timeout expired")))
    assert run(service, read_operations).is_suspicious
    assert len(service.requests) == 3


def test_only_the_update_is_not_repeatable() -> None:
    assert [e.name for e in ENDPOINTS if not e.repeatable] == ["ClientUpdate"]
