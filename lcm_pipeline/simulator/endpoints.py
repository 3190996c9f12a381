"""The served endpoints: fields, types and XML names as in the vendor's documentation.

JSON responses have the order of the fields here; XML sorts by name after the base members. An
endpoint also names the shelf of its rows, and the functions that add and change them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lcm_pipeline.simulator import favourites, leads, purchases
from lcm_pipeline.simulator.customers import Customer
from lcm_pipeline.simulator.fields import Fields, Row
from lcm_pipeline.simulator.programme import Programme

Kind = Literal["integer", "boolean", "string", "date", "reg"]

_SCHEMAS = "http://schemas.datacontract.org/2004/07/LCManagerPartner"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
ABSTRACTIONS = f"{_SCHEMAS}.Implementation.Abstractions"
REQUESTS = f"{_SCHEMAS}.Implementation.Request"
RESPONSES = f"{_SCHEMAS}.Implementation.Response"
MODELS = f"{_SCHEMAS}.Models"

BASE_FIELDS: Mapping[str, Kind] = {"Operator": "integer", "SiteCode": "string", "Token": "integer"}
REG_FIELDS: Mapping[str, Kind] = {
    "Month": "integer",
    "Today": "boolean",
    "Year": "integer",
    "Yesterday": "boolean",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. fields, response_fields: of its request and its response, in the order of JSON.

    rows: its paged collection. totals: the fields that count it. items: XML names of lists' items.
    shelf: the customer's shelf of its rows, for an endpoint that is read client by client. table:
    their name in World.truth(), if it is not that of the shelf. insert: adds a row of a moment to a
    client. change: changes a row in place. each_day: plans the events of a day, from its midnight.
    unknown_client: the ErrorCode for a client that does not exist.
    """

    name: str
    request: str
    response: str
    fields: Mapping[str, Kind]
    response_fields: tuple[str, ...]
    items: Mapping[str, str]
    rows: str | None = None
    totals: tuple[str, ...] = ()
    own_model: bool = False
    unknown_client: int = 5
    shelf: str | None = None
    table: str | None = None
    insert: Callable[[Programme, Customer, int], object] | None = None
    change: Callable[[Row], None] | None = None
    each_day: Callable[[Programme, int], None] | None = None

    @property
    def request_namespace(self) -> str:
        return MODELS if self.own_model else REQUESTS

    @property
    def response_namespace(self) -> str:
        return MODELS if self.own_model else RESPONSES


_OPERATIONS = Endpoint(
    "OperationHistory",
    "OperationHistoryRequest",
    "OperationHistoryResponse",
    fields={
        "Card": "integer",
        "Phone": "integer",
        "Client": "integer",
        "Partner": "integer",
        "PosCode": "string",
        "Bonus": "boolean",
        "OrderId": "integer",
        "Cheque": "boolean",
        "Start": "integer",
        "Length": "integer",
    },
    response_fields=("Client", "Phone", "Card", "Rows", "Operations"),
    items={"Operations": "OperationHistoryResponse.OperationHistoryOperation"},
    rows="Operations",
    totals=("Rows",),
    unknown_client=4,
    shelf="operations",
    insert=purchases.insert_cheque,
    change=purchases.toggle_active,
)
_REGISTRATIONS = Endpoint(
    "ClientInfoPeriod",
    "ClientInfoPeriodRequest",
    "ClientInfoPeriodResponse",
    fields={
        "BegDate": "date",
        "EndDate": "date",
        "Registration": "boolean",
        "RegPosList": "integer",
        "Reg": "reg",
    },
    response_fields=("Clients",),
    items={"Clients": "ClientInfoPeriodResponse.ClientInfoPeriodClient"},
    rows="Clients",
)
_LEADS = Endpoint(
    "LeadsPagingInfo",
    "ClientLeadsPagingInfoRequest",
    "ClientLeadsPagingInfoResponse",
    fields={
        "Client": "integer",
        "BegDate": "date",
        "EndDate": "date",
        "Start": "integer",
        "Length": "integer",
    },
    response_fields=("TotalRows", "TotalRowsSelect", "LeadsClients"),
    items={"LeadsClients": "ClientLeadsPagingInfoResponse.ClientLeadsPagingInfoLeadsClient"},
    rows="LeadsClients",
    totals=("TotalRows", "TotalRowsSelect"),
    unknown_client=2,
    shelf="leads",
    insert=leads.receive,
    change=leads.change_status,
    each_day=leads.receive_some,
)
STATISTICS = (
    "MaxLinkGoods",
    "NowLinkGoods",
    "RemainLinkGoods",
    "RemainCountPurchases",
    "RemainGain",
    "RemainEveryGain",
    "CountOffer",
    "CountConfirm",
    "CountPurchases",
    "SumGain",
    "AvgFavorite",
    "AvgAll",
)
_FAVOURITE = "ClientFavoriteDataInfoResponse.ClientFavoriteDataInfo"
_FAVOURITES = Endpoint(
    "ClientFavoriteDataInfo",
    "ClientFavoriteDataInfoRequest",
    "ClientFavoriteDataInfoResponse",
    fields={
        "Client": "integer",
        "ClientFavoriteId": "integer",
        "ListDataId": "integer",
        "BegDate": "date",
        "EndDate": "date",
        "Start": "integer",
        "Length": "integer",
    },
    response_fields=(
        "TotalRows",
        "TotalRowsSelect",
        *STATISTICS,
        "ClientFavorites",
        "ListFavorites",
        "GroupFavorites",
    ),
    items={
        "ClientFavorites": f"{_FAVOURITE}ClientFavoritesRow",
        "ListFavorites": f"{_FAVOURITE}ListFavoritesRow",
        "GroupFavorites": f"{_FAVOURITE}GroupFavoritesRow",
    },
    rows="ClientFavorites",
    totals=("TotalRows", "TotalRowsSelect"),
    unknown_client=3,
    shelf="offers",
    table="favourite_offers",
    insert=favourites.offer,
    change=favourites.toggle_active,
    each_day=favourites.offer_some,
)
_UPDATE = Endpoint(
    "ClientUpdate",
    "SetClientUpdateRequest",
    "SetClientUpdateResponse",
    fields={
        "Client": "integer",
        "Name": "string",
        "Surname": "string",
        "Patronymic": "string",
        "AllowSms": "boolean",
        "AllowEmail": "boolean",
        "Birthdate": "date",
        "Phone": "integer",
        "Email": "string",
        "Gender": "integer",
        "PosCode": "string",
        "AllowEmailOnlineCheque": "boolean",
        "ContragentId": "string",
    },
    response_fields=(),
    items={},
    own_model=True,
)
ENDPOINTS: Mapping[str, Endpoint] = {
    endpoint.name: endpoint
    for endpoint in (_REGISTRATIONS, _OPERATIONS, _LEADS, _FAVOURITES, _UPDATE)
}
SHELVES: Mapping[str, Endpoint] = {
    endpoint.shelf: endpoint for endpoint in ENDPOINTS.values() if endpoint.shelf is not None
}


def response_of(endpoint: Endpoint, known: Fields) -> Fields:
    """A response in the vendor's order; missing fields are null, or an empty list."""
    fields: Fields = {
        name: known.get(name, [] if name in endpoint.items else None)
        for name in endpoint.response_fields
    }
    fields["ErrorCode"] = known.get("ErrorCode", 0)
    fields["Message"] = known.get("Message")
    return fields
