"""The endpoints over real HTTP, with responses scripted by a test.

A small programme with rules: the first rule that returns a response wins; otherwise the programme
responds. It runs in a separate thread, so that engines and commands can use its URL.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fields = dict[str, Any]


@dataclass
class Reply:
    """One response. body: a JSON value, or the bytes themselves. delay: seconds before it.

    sent: the share of the body that is sent before the connection is closed; none of the response
    at 0.
    """

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    sent: float = 1.0

    def payload(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body, ensure_ascii=False).encode()


# Called with the endpoint's name and the request; None passes the request on to the next rule.
Rule = Callable[[str, Fields], Reply | None]


@dataclass
class Person:
    """One client of the programme."""

    client: int
    registered: str
    operations: list[Fields]
    leads: list[Fields] = field(default_factory=list)
    offers: list[Fields] = field(default_factory=list)
    goods: dict[int, list[Fields]] = field(default_factory=dict)
    header: Fields = field(default_factory=dict)

    @property
    def phone(self) -> int:
        return 9_000_000_000 + self.client


def person(client: int, registered: str = "2026-03-01T10:00:00") -> Person:
    """A client with two operations, a lead, and an offer of two goods."""
    return Person(
        client,
        registered,
        operations=[operation(client * 10 + at, f"2026-03-01T12:00:0{at}") for at in (2, 1)],
        leads=[{"Id": 1, "Leads": client * 10, "ProcTime": "2026-03-01T13:00:00"}],
        offers=[{"Id": client * 10, "ProcTime": "2026-03-01T14:00:00", "Confirm": False}],
        goods={client * 10: [{"Id": at, "ListDataId": at, "Name": "Кофе"} for at in (1, 2)]},
        header={"CountOffer": 1, "SumGain": 5.5, "GroupFavorites": [{"Id": 1, "CountSelect": 1}]},
    )


def operation(number: int, moment: str, **fields: Any) -> Fields:
    """A purchase of 100 roubles."""
    row = {"Id": number, "ComponentType": 2, "ChequeId": number, "Amount": 100.0}
    return {**row, "Proctime": moment, **fields}


class ScriptedApi:
    """The programme, its rules, and the requests so far: (endpoint, request) in order."""

    def __init__(self, people: list[Person]) -> None:
        self.people = {one.client: one for one in people}
        self.rules: list[Rule] = []
        self.received: list[tuple[str, Fields]] = []
        self.most_in_flight: Counter[str] = Counter()
        self.url = ""
        self._in_flight: Counter[str] = Counter()
        self._lock = threading.Lock()

    def respond(self, name: str, request: Fields) -> Reply:
        """Return the response of the first rule that has one, or the programme's own."""
        with self._lock:
            self.received.append((name, request))
            self._in_flight[name] += 1
            self.most_in_flight[name] = max(self.most_in_flight[name], self._in_flight[name])
        try:
            replies = (rule(name, request) for rule in self.rules)
            reply = next((one for one in replies if one is not None), None)
            reply = reply or Reply(self.plain(name, request))
            time.sleep(reply.delay)
            return reply
        finally:
            with self._lock:
                self._in_flight[name] -= 1

    def requests(self, name: str, client: int | None = None) -> list[Fields]:
        """The requests of an endpoint, of one client or of all."""
        return [r for n, r in self.received if n == name and client in (None, r.get("Client"))]

    def plain(self, name: str, request: Fields) -> Fields:
        """The programme's response, without rules."""
        if name == "ClientInfoPeriod":
            return self._registrations(request)
        one = self.people.get(request["Client"])
        if one is None:
            return {"ErrorCode": 2, "Message": "Клиент не найден"}
        if name == "OperationHistory":
            header = {"Client": one.client, "Phone": one.phone, "Card": one.client}
            return {**header, **_page(one.operations, request, "Operations", "Rows")}
        if name == "LeadsPagingInfo":
            return _page(one.leads, request, "LeadsClients", "TotalRows")
        offer_id = request.get("ClientFavoriteId")
        offers = [offer for offer in one.offers if offer_id in (None, offer["Id"])]
        page = _page(offers, {} if offer_id else request, "ClientFavorites", "TotalRows")
        goods = _page(one.goods.get(offer_id or 0, []), request, "ListFavorites", "")
        return {**one.header, **goods, **page}

    def _registrations(self, request: Fields) -> Fields:
        rows = [
            {"Client": one.client, "Card": one.client, "RegDate": one.registered}
            for one in self.people.values()
            if request["BegDate"] <= one.registered <= request["EndDate"]
        ]
        return {"Clients": rows, "ErrorCode": 0, "Message": None}


def _page(rows: list[Fields], request: Fields, rows_name: str, total_name: str) -> Fields:
    first = max(1, request.get("Start", 1)) - 1
    shown = rows[first : first + request.get("Length", len(rows))]
    total = {total_name: len(rows)} if total_name else {}
    return {**total, rows_name: shown, "ErrorCode": 0, "Message": None}


def for_client(client: int, reply: Reply | Callable[[], Reply], name: str | None = None) -> Rule:
    """A rule for one client, of one endpoint or of all."""

    def rule(endpoint: str, request: Fields) -> Reply | None:
        if request.get("Client") != client or name not in (None, endpoint):
            return None
        return reply() if callable(reply) else reply

    return rule


@contextmanager
def serving(*people: Person) -> Iterator[ScriptedApi]:
    """Serve a programme of these people on a free port."""
    api = ScriptedApi(list(people))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = api.respond(self.path.rpartition("/")[2], json.loads(body))
            payload = reply.payload()
            if reply.sent < 1:
                self.close_connection = True
            if reply.sent == 0:
                return
            self.send_response(reply.status)
            headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers}
            for name, value in {**headers, "Content-Length": str(len(payload))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload[: int(reply.sent * len(payload))])

        def log_message(self, *args: Any) -> None:
            """Write nothing to standard error."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 100

        def handle_error(self, *args: Any) -> None:
            """Ignore clients that closed their connection."""

    server = Server(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
