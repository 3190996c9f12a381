"""One odd response in a whole sync affects its row or its client, and no other client."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Any

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.feeds import feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from tests.databases import fetch_rows
from tests.syncing import FEEDS
from tests.unit.api_service import Request, Response, Service, running_in_thread

WINDOW = Window(date(2026, 3, 1), date(2026, 3, 2))
CLIENTS = (1001, 1002, 1003)
ODD = 1002
WITHOUT_WAITING = RetryPolicy(first_wait=0.0)

Odd = Callable[[dict[str, Any]], Response]


def registration(client: int) -> dict[str, Any]:
    return {"Client": client, "Card": client, "RegPos": 1, "RegDate": "2026-03-01T10:00:00"}


def row_of(client: int, number: int) -> dict[str, Any]:
    return {
        "Id": client * 10 + number, "Leads": client * 10 + number, "ComponentType": 2,
        "ChequeId": number, "Amount": 100, "Proctime": "2026-03-01T12:00:00",
        "ProcTime": "2026-03-01T12:00:00",
    }  # fmt: skip


def response_to(endpoint: str, request: dict[str, Any]) -> dict[str, Any]:
    """The response of a correct service with three clients and two rows each."""
    if endpoint == "ClientInfoPeriod":
        is_on = request["BegDate"] < "2026-03-01T10" < request["EndDate"]
        rows = [registration(client) for client in CLIENTS] if is_on else []
        return {"Clients": rows, "ErrorCode": 0, "Message": None}
    client, start = request["Client"], max(1, request["Start"])
    rows = [row_of(client, number) for number in (1, 2)][start - 1 :][: request["Length"]]
    if endpoint == "OperationHistory":
        header = {"Client": client, "Phone": 9_000_000_000 + client, "Rows": 2}
        return header | {"Operations": rows, "ErrorCode": 0, "Message": None}
    if endpoint == "LeadsPagingInfo":
        return {"TotalRows": 2, "LeadsClients": rows, "ErrorCode": 0, "Message": None}
    goods = [{"ListDataId": 1, "Name": "Чай"}] if "ClientFavoriteId" in request else []
    header = {"TotalRows": 2, "SumGain": 5, "GroupFavorites": []}
    return header | {"ClientFavorites": rows, "ListFavorites": goods, "ErrorCode": 0}


@contextmanager
def serving(endpoint: str, odd: Odd) -> Iterator[str]:
    """Serve three clients, one with odd responses of that endpoint; yields the address."""

    def reply(received: Request) -> Response:
        name, request = received.path.rpartition("/")[2], received.json
        honest = response_to(name, request)
        is_odd = name == endpoint and request.get("Client", ODD) == ODD
        return odd(honest) if is_odd else Response(honest)

    with running_in_thread(Service(otherwise=reply)) as port:
        yield f"http://127.0.0.1:{port}/x/"


class Synced:
    """The contents of a warehouse after a sync."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return fetch_rows(self.warehouse, statement)

    def count_by_client(self, table: str) -> dict[int, int]:
        found = self.rows(f"select client_id, count(*) from core.{table} group by client_id")
        return {int(client): int(count) for client, count in found}

    def quarantined(self) -> list[tuple[str, int, str]]:
        rows = self.rows("select table_name, client_id, reason from sync.quarantine")
        return sorted((str(a), int(b), str(c)) for a, b, c in rows)

    def failures(self) -> list[tuple[int, str]]:
        rows = self.rows("select client_id, error from sync.fetches where status <> 'published'")
        return [(int(client), str(error)) for client, error in rows]


def sync(warehouse: Warehouse, endpoint: str, odd: Odd, **settings: Any) -> Synced:
    with serving(endpoint, odd) as url:
        fields = {"api_url": url, "database_url": warehouse.url, "start_date": WINDOW.first}
        given = load_settings(**(fields | {"timeout": 20.0} | settings))
        open_api = partial(LoyaltyApi.from_settings, policy=WITHOUT_WAITING)
        engine = SyncEngine(given, warehouse, open_api=open_api)
        for feed in FEEDS:
            engine.sync(feed_named(feed), WINDOW)
    return Synced(warehouse)


LISTS = {
    "ClientInfoPeriod": ("registrations", "Clients", "Card_Type"),
    "OperationHistory": ("operations", "Operations", "PosName"),
    "LeadsPagingInfo": ("leads", "LeadsClients", "Subject"),
    "ClientFavoriteDataInfo": ("favourite_offers", "ClientFavorites", "ConfirmDateEnd"),
}
every_endpoint = pytest.mark.parametrize("endpoint", LISTS)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rb"\ud83d", "holds half a surrogate pair"),
        (b"\x0b", "holds a control character"),
        (b"\xff", "malformed JSON"),
    ],
    ids=["surrogate", "control", "byte"],
)
@every_endpoint
def test_an_unreadable_text_affects_only_its_row(
    warehouse: Warehouse, endpoint: str, text: bytes, reason: str
) -> None:
    table, rows, field = LISTS[endpoint]

    def odd(honest: dict[str, Any]) -> Response:
        for row in honest[rows]:
            if row.get("Client") == ODD or row.get("Id") == ODD * 10 + 2:
                row[field] = "a@"
        return Response(json.dumps(honest).encode().replace(b"a@", b"a" + text))

    synced = sync(warehouse, endpoint, odd)
    assert synced.quarantined() == [(table, ODD, f"{field}: {reason}")]
    assert synced.failures() == []
    healthy = {1001, 1003}
    counts = {name: synced.count_by_client(name) for name, *_ in LISTS.values()}
    for name, found in counts.items():
        whole = 1 if name == "registrations" else 2
        assert {client: found[client] for client in healthy} == dict.fromkeys(healthy, whole)
    # The client is known, and is read in all the other feeds.
    expected = {name: 1 if name == "registrations" else 2 for name in counts}
    expected[table] -= 1
    assert {name: found.get(ODD, 0) for name, found in counts.items()} == expected


def with_body(body: bytes, **fields: Any) -> Odd:
    return lambda _: Response(body, **fields)


UNPROVEN: dict[str, tuple[str, Odd, str]] = {
    "no list": ("OperationHistory", with_body(b'{"ErrorCode":0}'), "lacks Operations"),
    "no total": (
        "LeadsPagingInfo",
        with_body(b'{"ErrorCode":0,"LeadsClients":[]}'),
        "lacks TotalRows",
    ),
    "another request's": (
        "OperationHistory",
        with_body(b'{"ErrorCode":0,"TotalRows":0,"LeadsClients":[]}'),
        "lacks Operations",
    ),
    "another client's": (
        "OperationHistory",
        lambda honest: Response(honest | {"Client": 1003}),
        "is about client 1003",
    ),
    "null": (
        "ClientFavoriteDataInfo",
        with_body(b'{"ErrorCode":0,"TotalRows":null,"ClientFavorites":null}'),
        "ClientFavorites is null",
    ),
    "a bomb": (
        "OperationHistory",
        with_body(gzip.compress(b" " * 2**22), headers={"Content-Encoding": "gzip"}),
        "LCM_MAX_ANSWER_MB",
    ),
    "a cut body with an odd phone": (
        "OperationHistory",
        with_body(b'{"Phone":"","Rows":1,"Operations":[{"Id":1'),
        "cut off",
    ),
    "no charset": (
        "LeadsPagingInfo",
        with_body(b'{"\xcf":1}', content_type="application/json; charset=undefined"),
        "charset",
    ),
    "a date that overflows": (
        "LeadsPagingInfo",
        lambda _: Response(status=503, headers={"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"}),
        "HTTP 503",
    ),
    "a reason phrase of cp1251": (
        "LeadsPagingInfo",
        lambda _: Response(status=500, reason="Ошибка".encode("cp1251")),
        "HTTP 500",
    ),
    "nesting": ("LeadsPagingInfo", with_body(b'{"a":' * 100_000), "cut off"),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("endpoint", "odd", "reason"), UNPROVEN.values(), ids=UNPROVEN)
def test_a_response_that_proves_nothing_leaves_its_client_pending(
    warehouse: Warehouse, endpoint: str, odd: Odd, reason: str
) -> None:
    table = LISTS[endpoint][0]
    synced = sync(warehouse, endpoint, Response)
    before = synced.count_by_client(table)
    assert before[ODD] == 2
    synced = sync(warehouse, endpoint, odd, max_answer_mb=1, audit_share=1)
    (failure,) = synced.failures()
    assert failure[0] == ODD
    assert reason in failure[1]
    # Its stored rows are kept and not marked as deleted.
    assert synced.count_by_client(table) == before
    assert synced.rows(f"select * from core.{table} where deleted_at is not null") == []
    assert synced.quarantined() == []


def test_an_odd_number_next_to_the_offers_affects_only_itself(warehouse: Warehouse) -> None:
    def odd(honest: dict[str, Any]) -> Response:
        return Response(honest | {"SumGain": "", "ListFavorites": None})

    with_goods = sync(warehouse, "ClientFavoriteDataInfo", Response)
    assert with_goods.count_by_client("favourite_goods") == dict.fromkeys(CLIENTS, 2)
    synced = sync(
        warehouse,
        "ClientFavoriteDataInfo",
        lambda honest: Response(honest | {"SumGain": ""}),
        audit_share=1,
    )
    assert synced.failures() == []
    ((table, client, reason),) = synced.quarantined()
    assert (table, client) == ("favourite_stats", ODD)
    assert "SumGain" in reason
    assert synced.count_by_client("favourite_goods") == dict.fromkeys(CLIENTS, 2)
    again = sync(warehouse, "ClientFavoriteDataInfo", odd, audit_share=0)
    assert again.failures() == []
