"""The endpoints as declarations: paths, types, keys, totals.

An endpoint is added by one declaration here, from which `api` calls it and reads its rows.
OperationHistory has no date filter at all. The goods of a favourite offer have no endpoint of their
own: they are a second list in the response of ClientFavoriteDataInfo.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar, Union, get_args

import msgspec

from lcm_pipeline.model import payloads

REQUEST_CONTRACT = "http://schemas.datacontract.org/2004/07/LCManagerPartner.Implementation.Request"
MODELS_CONTRACT = "http://schemas.datacontract.org/2004/07/LCManagerPartner.Models"

RequestT = TypeVar("RequestT", bound=payloads.Request)
ResponseT = TypeVar("ResponseT", bound=payloads.Response)


@dataclass(frozen=True, kw_only=True)
class Endpoint(Generic[RequestT, ResponseT]):
    """One endpoint; field names are the vendor's.

    rows_field: the list of the response that contains the rows; None when it has no rows.
    total_field: the number of rows that the server claims to have; a response without it, or
    without the list of rows, proves nothing, not even that there are no rows.
    rows_may_be_null: null means an empty list, even without a total that confirms it.
    client_field: the client whose rows these are; 0 and null name no client.
    key_fields: identify a row within its client.
    moment_field: the time that the service orders the rows by.
    envelope_fields: members next to the rows; the page's envelope, where present.
    optional_envelope_fields: lists that are part of the envelope only when they are not empty.
    required: request fields without which a call would read or change the wrong data.
    repeatable: sending the call twice changes nothing, so it may be retried when its outcome is
    unknown.
    contract: the XML namespace of the request.
    """

    name: str
    path: str
    request_type: type[RequestT]
    response_type: type[ResponseT]
    required: tuple[str, ...] = ()
    rows_field: str | None = None
    row_type: type[msgspec.Struct] | None = None
    key_fields: tuple[str, ...] = ()
    moment_field: str | None = None
    total_field: str | None = None
    rows_may_be_null: bool = False
    client_field: str | None = None
    envelope_fields: tuple[str, ...] = ()
    optional_envelope_fields: tuple[str, ...] = ()
    repeatable: bool = True
    contract: str = REQUEST_CONTRACT

    @cached_property
    def field_types(self) -> dict[str, Any]:
        """The types of the response's members other than ErrorCode and Message."""
        read = {self.rows_field, self.total_field, *self.envelope_fields}
        read.update(self.optional_envelope_fields)
        return {
            field.name: Union[tuple(a for a in get_args(field.type) if a is not msgspec.UnsetType)]  # noqa: UP007
            for field in msgspec.structs.fields(self.response_type)
            if field.name in read
        }


CLIENT_INFO_PERIOD = Endpoint(
    name="ClientInfoPeriod",
    path="api/client/ClientInfoPeriod",
    request_type=payloads.ClientInfoPeriodRequest,
    response_type=payloads.ClientInfoPeriodResponse,
    rows_field="Clients",
    row_type=payloads.Registration,
    # The service sends null, not [], for a period without registrations.
    rows_may_be_null=True,
    # A row is a card: a client who registers with two cards has two rows.
    key_fields=("Client", "Card"),
    moment_field="RegDate",
)

OPERATION_HISTORY = Endpoint(
    name="OperationHistory",
    path="api/client/OperationHistory",
    request_type=payloads.OperationHistoryRequest,
    response_type=payloads.OperationHistoryResponse,
    required=("Client", "Start", "Length"),
    rows_field="Operations",
    row_type=payloads.Operation,
    # Bonuses, cheques and orders have ids of their own series, which overlap.
    key_fields=("ComponentType", "Id"),
    moment_field="Proctime",
    total_field="Rows",
    client_field="Client",
    envelope_fields=("Client", "Phone", "Card"),
)

LEADS_PAGING_INFO = Endpoint(
    name="LeadsPagingInfo",
    path="api/client/LeadsPagingInfo",
    request_type=payloads.ClientLeadsPagingInfoRequest,
    response_type=payloads.ClientLeadsPagingInfoResponse,
    required=("Client", "Start", "Length"),
    rows_field="LeadsClients",
    row_type=payloads.Lead,
    key_fields=("Leads",),
    moment_field="ProcTime",
    total_field="TotalRows",
)

CLIENT_FAVORITE_DATA_INFO = Endpoint(
    name="ClientFavoriteDataInfo",
    path="api/client/ClientFavoriteDataInfo",
    request_type=payloads.ClientFavoriteDataInfoRequest,
    response_type=payloads.ClientFavoriteDataInfoResponse,
    required=("Client", "Start", "Length"),
    rows_field="ClientFavorites",
    row_type=payloads.FavouriteOffer,
    key_fields=("Id",),
    moment_field="ProcTime",
    total_field="TotalRows",
    envelope_fields=(
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
        "GroupFavorites",
    ),
    optional_envelope_fields=("ListFavorites",),
)

# The goods of one offer, selected by ClientFavoriteId.
FAVOURITE_GOODS = replace(
    CLIENT_FAVORITE_DATA_INFO,
    required=("Client", "ClientFavoriteId", "Start", "Length"),
    rows_field="ListFavorites",
    row_type=payloads.FavouriteGood,
    key_fields=("ListDataId",),
    moment_field=None,
    # TotalRows counts the offers.
    total_field=None,
    envelope_fields=(),
    optional_envelope_fields=("ClientFavorites",),
)

CLIENT_UPDATE = Endpoint(
    name="ClientUpdate",
    path="api/client/ClientUpdate",
    request_type=payloads.SetClientUpdateRequest,
    response_type=payloads.SetClientUpdateResponse,
    required=("Client",),
    # A late copy of a lost request could overwrite a newer update: the push decides when to resend.
    repeatable=False,
    contract=MODELS_CONTRACT,
)

ENDPOINTS = (
    CLIENT_INFO_PERIOD,
    OPERATION_HISTORY,
    LEADS_PAGING_INFO,
    CLIENT_FAVORITE_DATA_INFO,
    CLIENT_UPDATE,
)
