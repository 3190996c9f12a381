"""A source of many rows that costs almost nothing: every row is computed from its number.

It implements the vendor's protocol for one kind of client: registered on the first day, with `rows`
operations and nothing else. One row can be changed, and every request is counted. As a separate
process it prints its address: `python -m tests.verification.source --clients 2000 --rows 500`.
"""

import argparse
import socket
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import uvicorn

FIRST_DAY, LAST_DAY = date(2026, 1, 1), date(2026, 3, 30)
FIRST_CLIENT = 1_000_001
_NEWEST = datetime(2026, 3, 30, 21)
_SPAN = timedelta(days=87)


class Programme:
    """The rows, by number. changed: client and number of the one row that is changed."""

    def __init__(self, clients: int, rows: int) -> None:
        self.clients, self.rows = clients, rows
        self.requests = 0
        self.changed: tuple[int, int] | None = None

    def registrations(self, begins: str, ends: str) -> dict[str, Any]:
        moment = f"{FIRST_DAY}T12:00:00"
        numbers = range(self.clients) if begins <= moment < ends else range(0)
        rows = [
            {
                "Client": FIRST_CLIENT + number, "Card": 2_000_000_000 + number, "Virtual": False,
                "Card_Type": "Пластиковая", "Card_Status": "Активна", "RegPos": 101,
                "RegPosName": "Невский проспект, 28", "RegDate": moment,
            }
            for number in numbers
        ]  # fmt: skip
        return {"Clients": rows, "ErrorCode": 0, "Message": ""}

    def operations(self, client: int, start: int, length: int) -> dict[str, Any]:
        first = max(start, 1) - 1
        numbers = range(first, min(first + length, self.rows))
        return {
            "Client": client, "Phone": 9_000_000_000 + client, "Card": 2_000_000_000,
            "Rows": self.rows, "Operations": [self._operation(client, n) for n in numbers],
            "ErrorCode": 0, "Message": "",
        }  # fmt: skip

    def _operation(self, client: int, number: int) -> dict[str, Any]:
        identity = (client - FIRST_CLIENT) * self.rows + number + 1
        moment = _NEWEST - number * (_SPAN / self.rows)
        cents = identity * 7919 % 500_000
        return {
            "Id": identity, "Pos": 101 + identity % 40, "ChequeId": identity, "BonusId": 0,
            "PartnerName": "Кофейни «Зерно»", "PosName": f"Магазин {identity % 40}",
            "Amount": Decimal(cents) / 100, "Added": Decimal(cents // 20) / 100,
            "Redeemed": Decimal(0), "Refund": False, "Proctime": moment.isoformat(),
            "Discount": Decimal(cents // 10) / 100, "ComponentType": 2, "BonusSource": 1,
            "ChequeNumber": str(identity), "Remain": Decimal(cents // 20) / 100,
            "Active": (client, number) != self.changed,
        }  # fmt: skip

    def respond(self, path: str, body: bytes) -> dict[str, Any]:
        request = msgspec.json.decode(body or b"{}")
        match path.rpartition("/")[2]:
            case "requests":
                return {"requests": self.requests}
            case "change":
                self.changed = (request["client"], request["number"])
                return {}
            case "ClientInfoPeriod":
                response = self.registrations(request["BegDate"], request["EndDate"])
            case "OperationHistory":
                response = self.operations(request["Client"], request["Start"], request["Length"])
            case "LeadsPagingInfo":
                response = {"TotalRows": 0, "LeadsClients": [], "ErrorCode": 0, "Message": ""}
            case _:
                response = {"TotalRows": 0, "ClientFavorites": [], "ErrorCode": 0, "Message": ""}
        self.requests += 1
        return response

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, is_more = b"", True
        while is_more:
            message = await receive()
            body += message.get("body", b"")
            is_more = message.get("more_body", False)
        response = msgspec.json.Encoder(decimal_format="number").encode(
            self.respond(scope["path"], body)
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(response)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": response})


def serve() -> None:
    """Serve on a free loopback port until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    flags = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    app = Programme(flags.clients, flags.rows)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve()
