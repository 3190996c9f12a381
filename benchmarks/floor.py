"""The floor: how fast a program can be that is written by hand for this one case, in Python.

Keep-alive sockets with one request in flight each, HTTP parsed by hand, orjson, typed binary COPY
in a thread while the next responses arrive. Nothing is proven and nothing is resumed: no retry, no
second request, no upsert. Rows are appended to new tables; an unexpected response ends the run.
"""

import argparse
import asyncio
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg

_MOSCOW = timezone(timedelta(hours=3))
_PAGE = 500
_CLIENTS_PER_COPY = 250

# Field of the response, column of the table, type.
_TABLES: dict[str, list[tuple[str, str, str]]] = {
    "registrations": [
        ("Client", "client_id", "int8"), ("Card", "card_number", "int8"),
        ("OutNumber", "out_number", "int8"), ("Virtual", "is_virtual", "bool"),
        ("Card_Type", "card_type", "text"), ("Card_Status", "card_status", "text"),
        ("RegPos", "pos_id", "int8"), ("RegPosName", "pos_name", "text"),
        ("RegDate", "registered_at", "timestamptz"),
    ],
    "operations": [
        ("Id", "operation_id", "int8"), ("Pos", "pos_id", "int8"), ("BonusId", "bonus_id", "int8"),
        ("ChequeId", "cheque_id", "int8"), ("PartnerName", "partner_name", "text"),
        ("PosName", "pos_name", "text"), ("Amount", "amount", "numeric"),
        ("Added", "added", "numeric"), ("Redeemed", "redeemed", "numeric"),
        ("Refund", "is_refund", "bool"), ("Proctime", "processed_at", "timestamptz"),
        ("Discount", "discount", "numeric"), ("SertRedeemed", "certificate_redeemed", "numeric"),
        ("CouponNumber", "coupon_number", "text"),
        ("BonusSourceName", "bonus_source_name", "text"),
        ("ComponentType", "component_type", "int2"), ("BonusSource", "bonus_source", "int2"),
        ("ChequeNumber", "cheque_number", "text"), ("Active", "is_active", "bool"),
        ("ActiveDate", "active_from", "timestamptz"), ("ExpiryDate", "expires_at", "timestamptz"),
        ("Remain", "remain", "numeric"), ("Parent", "parent_id", "int8"),
        ("OrderId", "order_id", "int8"),
    ],
    "leads": [
        ("Id", "lead_row_id", "int8"), ("Leads", "lead_id", "int8"),
        ("ProcTime", "created_at", "timestamptz"), ("LeadSourceName", "source_name", "text"),
        ("LeadStatusName", "status_name", "text"), ("LeadTypeName", "type_name", "text"),
        ("FormName", "form_name", "text"), ("Subject", "subject", "text"),
        ("LeadMarkName", "mark_name", "text"), ("CountNotReadMessage", "unread_count", "int4"),
    ],
    "offers": [
        ("Id", "favourite_id", "int8"), ("ProcTime", "offered_at", "timestamptz"),
        ("ConfirmDateEnd", "confirm_until", "timestamptz"), ("Confirm", "is_confirmed", "bool"),
        ("ProcTimeConfirm", "confirmed_at", "timestamptz"),
        ("ActionDateEnd", "active_until", "timestamptz"), ("NoActive", "is_inactive", "bool"),
    ],
    "goods": [
        ("Id", "favourite_id", "int8"), ("ListDataId", "list_data_id", "int8"),
        ("UrlImage", "image_url", "text"), ("Name", "name", "text"), ("Code", "code", "text"),
        ("NoActive", "is_inactive", "bool"),
    ],
}  # fmt: skip
# The requests for each client: path, then each list in the response and its table.
_REQUESTS = (
    ("OperationHistory", (("Operations", "operations"),)),
    ("LeadsPagingInfo", (("LeadsClients", "leads"),)),
    ("ClientFavoriteDataInfo", (("ClientFavorites", "offers"), ("ListFavorites", "goods"))),
)

Row = tuple[Any, ...]


class Socket:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Send one request and return the response; raises RuntimeError for an ErrorCode."""
        body = orjson.dumps(fields)
        self._writer.write(
            b"POST /api/client/%s HTTP/1.1\r\nHost: floor\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        response: dict[str, Any] = orjson.loads(await self._reader.readexactly(length))
        if response["ErrorCode"] != 0:
            raise RuntimeError(f"{path} responded with ErrorCode {response['ErrorCode']}")
        return response

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


class Loader:
    """Appends rows to the tables, from one thread at a time."""

    def __init__(self, url: str) -> None:
        self._session = psycopg.connect(url)
        for table, columns in _TABLES.items():
            described = ", ".join(f"{name} {kind}" for _, name, kind in columns)
            owner = "" if table == "registrations" else "client_id int8, "
            self._session.execute(f"create table {table} ({owner}{described})")

    def load(self, table: str, owned: Iterable[tuple[Row, Sequence[dict[str, Any]]]]) -> None:
        """Append rows, each preceded by the columns of its owner."""
        columns = _TABLES[table]
        parsers = [(name, _PARSERS.get(kind)) for name, _, kind in columns]
        names = [name for _, name, _ in columns]
        kinds = [kind for _, _, kind in columns]
        if table != "registrations":
            names, kinds = ["client_id", *names], ["int8", *kinds]
        statement = f"copy {table} ({', '.join(names)}) from stdin (format binary)"
        with self._session.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(kinds)
            for owner, rows in owned:
                for row in rows:
                    copy.write_row((*owner, *(_typed(row[name], parse) for name, parse in parsers)))

    def close(self) -> None:
        """Commit and close the connection."""
        self._session.commit()
        self._session.close()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=_MOSCOW)


def _money(value: float) -> Decimal:
    return Decimal(f"{value:.2f}")


_PARSERS: dict[str, Any] = {"timestamptz": _moment, "numeric": _money}


def _typed(value: Any, parse: Any) -> Any:
    return value if value is None or parse is None else parse(value)


async def copy_programme(api: str, database: str, *, days: Sequence[date], sockets: int) -> None:
    """Read everything once and append it."""
    parts = urlsplit(api)
    opened = [Socket(*await asyncio.open_connection(parts.hostname, parts.port, limit=2**22))
              for _ in range(sockets)]  # fmt: skip
    loader = await asyncio.to_thread(Loader, database)
    clients = await _registered(opened, loader, days)
    waiting, gathered = iter(clients), Gathered(loader)
    await asyncio.gather(*(_read_clients(s, waiting, gathered) for s in opened))
    await asyncio.to_thread(loader.close)
    for socket in opened:
        socket.close()


async def _registered(sockets: list[Socket], loader: Loader, days: Sequence[date]) -> list[int]:
    waiting = iter(days)
    rows: list[dict[str, Any]] = []

    async def read(socket: Socket) -> None:
        for day in waiting:
            fields = {"BegDate": f"{day}T00:00:00", "EndDate": f"{day}T23:59:59"}
            rows.extend((await socket.post("ClientInfoPeriod", fields))["Clients"])

    await asyncio.gather(*map(read, sockets))
    await asyncio.to_thread(loader.load, "registrations", [((), rows)])
    return [row["Client"] for row in rows]


async def _read_clients(socket: Socket, waiting: Iterable[int], gathered: "Gathered") -> None:
    for client in waiting:
        for path, lists in _REQUESTS:
            response = await socket.post(path, {"Client": client, "Start": 1, "Length": _PAGE})
            for name, table in lists:
                gathered.rows[table].append(((client,), response[name]))
        if len(gathered.rows["goods"]) >= _CLIENTS_PER_COPY:
            await gathered.copy()
    await gathered.copy()


class Gathered:
    """Rows that wait for the next COPY."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._copying = asyncio.Lock()
        self.rows = self._empty()

    async def copy(self) -> None:
        """Append what has been gathered."""
        batch, self.rows = self.rows, self._empty()
        async with self._copying:
            for table, rows in batch.items():
                if rows:
                    await asyncio.to_thread(self._loader.load, table, rows)

    def _empty(self) -> dict[str, list[tuple[Row, Sequence[dict[str, Any]]]]]:
        return {table: [] for table in _TABLES if table != "registrations"}


def main() -> None:
    """Parse the flags and copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--first", type=date.fromisoformat, required=True)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--sockets", type=int, default=64)
    flags = parser.parse_args()
    days = [flags.first + timedelta(days=n) for n in range(flags.days)]
    asyncio.run(copy_programme(flags.api, flags.database, days=days, sockets=flags.sockets))


if __name__ == "__main__":
    main()
