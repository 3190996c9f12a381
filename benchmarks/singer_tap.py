"""Singer: a tap of the SDK, piped into target-postgres. Runs in a separate virtual environment.

The SDK sends one request at a time. Child streams are read within the parent's loop: all streams of
one client are read before the next client.
"""

import argparse
import sys
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import requests
from singer_sdk import Stream, Tap
from singer_sdk import typing as th

_PAGE = 500
_KINDS: dict[str, Any] = {
    "int": th.IntegerType,
    "str": th.StringType,
    "num": th.NumberType,
    "bool": th.BooleanType,
    "time": th.DateTimeType,
}
_SESSION = requests.Session()


def _schema(client: str | None = "Client", **kinds: str) -> Any:
    names = {client: "int", **kinds} if client else kinds
    return th.PropertiesList(*(th.Property(n, _KINDS[k]()) for n, k in names.items())).to_dict()


def _post(tap: Tap, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = _SESSION.post(f"{tap.config['api']}/api/client/{path}", json=body, timeout=60)
    response.raise_for_status()
    content: dict[str, Any] = response.json()
    return content


class Registrations(Stream):
    """The registrations, day by day."""

    name = "registrations"
    primary_keys = ("Client", "Card")
    schema = _schema(
        Card="int", OutNumber="int", Virtual="bool", Card_Type="str", Card_Status="str",
        RegPos="int", RegPosName="str", RegDate="time",
    )  # fmt: skip

    def get_records(self, context: Any) -> Iterable[dict[str, Any]]:
        first = date.fromisoformat(self.config["first"])
        for number in range(self.config["days"]):
            day = first + timedelta(days=number)
            body = {"BegDate": f"{day}T00:00:00", "EndDate": f"{day}T23:59:59"}
            yield from _post(self._tap, "ClientInfoPeriod", body)["Clients"]

    def get_child_context(self, record: Any, context: Any) -> Any:
        return {"Client": record["Client"]}


class _OfClient(Stream):
    """A stream that is requested for each client, page by page."""

    parent_stream_type = Registrations
    state_partitioning_keys = ()
    path = ""
    rows = ""
    total = "TotalRows"

    def get_records(self, context: Any) -> Iterable[dict[str, Any]]:
        start = 1
        while True:
            body = {"Client": context["Client"], "Start": start, "Length": _PAGE}
            response = _post(self._tap, self.path, body)
            rows = self.rows_of(response)
            yield from ({**row, "Client": context["Client"]} for row in rows)
            start += _PAGE
            if start > response[self.total]:
                return

    def rows_of(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = response[self.rows]
        return rows


class Operations(_OfClient):
    """The operations of a client."""

    name, path, rows, total = "operations", "OperationHistory", "Operations", "Rows"
    primary_keys = ("Client", "ComponentType", "Id")
    schema = _schema(
        Id="int", Pos="int", BonusId="int", ChequeId="int", PartnerName="str", PosName="str",
        Amount="num", Added="num", Redeemed="num", Refund="bool", Proctime="time", Discount="num",
        SertRedeemed="num", CouponNumber="str", BonusSourceName="str", ComponentType="int",
        BonusSource="int", ChequeNumber="str", Active="bool", ActiveDate="time",
        ExpiryDate="time", Remain="num", Parent="int", OrderId="int",
    )  # fmt: skip


class Leads(_OfClient):
    """The leads of a client."""

    name, path, rows = "leads", "LeadsPagingInfo", "LeadsClients"
    primary_keys = ("Client", "Leads")
    schema = _schema(
        Id="int", Leads="int", ProcTime="time", LeadSourceName="str", LeadStatusName="str",
        LeadTypeName="str", FormName="str", Subject="str", LeadMarkName="str",
        CountNotReadMessage="int",
    )  # fmt: skip


class Favourites(_OfClient):
    """The offers of a client and their goods, as two lists in one row."""

    name, path = "favourites", "ClientFavoriteDataInfo"
    primary_keys = ("Client",)
    schema = th.PropertiesList(
        th.Property("Client", th.IntegerType()),
        th.Property("ClientFavorites", th.ArrayType(th.ObjectType(additional_properties=True))),
        th.Property("ListFavorites", th.ArrayType(th.ObjectType(additional_properties=True))),
    ).to_dict()

    def rows_of(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        return [{name: response[name] for name in ("ClientFavorites", "ListFavorites")}]


class BenchTap(Tap):
    """The tap of the benchmark."""

    name = "bench"
    config_jsonschema = th.PropertiesList(
        th.Property("api", th.StringType()),
        th.Property("first", th.StringType()),
        th.Property("days", th.IntegerType()),
    ).to_dict()

    def discover_streams(self) -> list[Stream]:
        return [kind(self) for kind in (Registrations, Operations, Leads, Favourites)]


def main() -> None:
    """Parse the flags and write messages to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", required=True)
    parser.add_argument("--database", help="unused: the target writes")
    parser.add_argument("--first", required=True)
    parser.add_argument("--days", type=int, required=True)
    flags = parser.parse_args()
    config = {"api": flags.api, "first": flags.first, "days": flags.days}
    BenchTap(config=config).sync_all()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
