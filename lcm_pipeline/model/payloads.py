"""Requests, responses and rows of the loyalty API, in the vendor's own spelling.

No table names and no rules of ours belong here. Rows inside a response stay bytes (`msgspec.Raw`),
so one bad row does not cost its page. `decode_row` decodes one of them, and takes "12" and 12.0 as
12: XML responses have only text, and servers differ. `read_field` reads what it can of a bad one.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from lcm_pipeline.model.integers import LARGEST_INTEGER
from lcm_pipeline.model.json_split import SplitError, split_object

# The service's clock: times without an offset are Moscow time.
SERVICE_ZONE = ZoneInfo("Europe/Moscow")

Int64 = Annotated[int, Meta(ge=-(2**63), le=LARGEST_INTEGER)]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Byte = Annotated[int, Meta(ge=0, le=255)]
ClientId = Annotated[int, Meta(ge=1, le=LARGEST_INTEGER)]
PageStart = Annotated[int, Meta(ge=0, le=2**31 - 1)]
PageLength = Annotated[int, Meta(ge=1, le=2**31 - 1)]
GenderCode = Annotated[int, Meta(ge=-1, le=1)]

# Money is numeric(19,2): 17 digits before the point.
_MONEY_LIMIT = Decimal(10) ** 17


class Request(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Members that every request has; unset ones are not sent."""

    Operator: Int64 | None = None
    Token: Int64 | None = None
    SiteCode: str | None = None

    def __repr__(self) -> str:
        """The type only: the fields contain tokens and personal data."""
        return f"<{type(self).__name__}>"


class ClientInfoPeriodReg(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Shorthands for a period of registration."""

    Today: bool | None = None
    Yesterday: bool | None = None
    Month: Byte | None = None
    Year: Int32 | None = None


class ClientInfoPeriodRequest(Request):
    """Registrations of a period; there is no paging."""

    BegDate: str | None = None
    EndDate: str | None = None
    Registration: bool | None = None
    RegPosList: Int64 | None = None
    Reg: ClientInfoPeriodReg | None = None


class OperationHistoryRequest(Request):
    """A page of one client's operations; there is no date filter."""

    Card: Int64 | None = None
    Phone: Int64 | None = None
    Client: ClientId | None = None
    Partner: Int64 | None = None
    PosCode: str | None = None
    Bonus: bool | None = None
    OrderId: Int64 | None = None
    Cheque: bool | None = None
    Start: PageStart | None = None
    Length: PageLength | None = None


class ClientLeadsPagingInfoRequest(Request):
    """A page of one client's leads; the dates filter on creation."""

    Client: ClientId | None = None
    BegDate: str | None = None
    EndDate: str | None = None
    Start: PageStart | None = None
    Length: PageLength | None = None


class ClientFavoriteDataInfoRequest(Request):
    """A page of one client's favourite product offers, or one offer with its goods."""

    Client: ClientId | None = None
    ClientFavoriteId: Int64 | None = None
    ListDataId: Int64 | None = None
    BegDate: str | None = None
    EndDate: str | None = None
    Start: PageStart | None = None
    Length: PageLength | None = None


class SetClientUpdateRequest(Request):
    """New values of a client's profile; what is unset stays as it is."""

    Client: ClientId | None = None
    Name: str | None = None
    Surname: str | None = None
    Patronymic: str | None = None
    AllowSms: bool | None = None
    AllowEmail: bool | None = None
    Birthdate: str | None = None
    Phone: Int64 | None = None
    Email: str | None = None
    Gender: GenderCode | None = None
    PosCode: str | None = None
    AllowEmailOnlineCheque: bool | None = None
    ContragentId: str | None = None


class Response(msgspec.Struct, kw_only=True):
    """Members that every response has; one without ErrorCode is invalid.

    A member that the response lacks is UNSET. That is not null: null is a value.
    """

    ErrorCode: Int32
    Message: str | None = None


class ClientInfoPeriodResponse(Response):
    """The registrations of a period."""

    Clients: list[Raw] | UnsetType | None = UNSET


class OperationHistoryResponse(Response):
    """A page of operations; Rows is their total number."""

    Client: Int64 | UnsetType | None = UNSET
    Phone: Int64 | UnsetType | None = UNSET
    Card: Int64 | UnsetType | None = UNSET
    Rows: Int32 | UnsetType | None = UNSET
    Operations: list[Raw] | UnsetType | None = UNSET


class ClientLeadsPagingInfoResponse(Response):
    """A page of leads."""

    TotalRows: Int32 | UnsetType | None = UNSET
    TotalRowsSelect: Int32 | UnsetType | None = UNSET
    LeadsClients: list[Raw] | UnsetType | None = UNSET


class ClientFavoriteDataInfoResponse(Response):
    """A page of offers, the goods of the requested offer, the chosen groups, and twelve numbers."""

    TotalRows: Int32 | UnsetType | None = UNSET
    TotalRowsSelect: Int32 | UnsetType | None = UNSET
    MaxLinkGoods: Int32 | UnsetType | None = UNSET
    NowLinkGoods: Int32 | UnsetType | None = UNSET
    RemainLinkGoods: Int32 | UnsetType | None = UNSET
    RemainCountPurchases: Int32 | UnsetType | None = UNSET
    RemainGain: Decimal | UnsetType | None = UNSET
    RemainEveryGain: Decimal | UnsetType | None = UNSET
    CountOffer: Int32 | UnsetType | None = UNSET
    CountConfirm: Int32 | UnsetType | None = UNSET
    CountPurchases: Int32 | UnsetType | None = UNSET
    SumGain: Decimal | UnsetType | None = UNSET
    AvgFavorite: Decimal | UnsetType | None = UNSET
    AvgAll: Decimal | UnsetType | None = UNSET
    ClientFavorites: list[Raw] | UnsetType | None = UNSET
    ListFavorites: list[Raw] | UnsetType | None = UNSET
    GroupFavorites: list[Raw] | UnsetType | None = UNSET


class SetClientUpdateResponse(Response):
    """Result of a profile update; a Message with ErrorCode 0 means that a part was rejected."""


class Registration(msgspec.Struct, kw_only=True):
    """One card of one client who registered (ClientInfoPeriodClient)."""

    Client: Int64 | None = None
    Card: Int64 | None = None
    OutNumber: Int64 | None = None
    Virtual: bool | None = None
    Card_Type: str | None = None
    Card_Status: str | None = None
    RegPos: Int64 | None = None
    RegPosName: str | None = None
    RegDate: str | None = None


class Operation(msgspec.Struct, kw_only=True):
    """One bonus, cheque or order of a client; its Id is unique within its ComponentType."""

    Id: Int64 | None = None
    Pos: Int64 | None = None
    BonusId: Int64 | None = None
    ChequeId: Int64 | None = None
    PartnerName: str | None = None
    PosName: str | None = None
    Amount: Decimal | None = None
    Added: Decimal | None = None
    Redeemed: Decimal | None = None
    Refund: bool | None = None
    Proctime: str | None = None
    Discount: Decimal | None = None
    SertRedeemed: Decimal | None = None
    CouponNumber: str | None = None
    BonusSourceName: str | None = None
    ComponentType: Byte | None = None
    BonusSource: Byte | None = None
    ChequeNumber: str | None = None
    Active: bool | None = None
    ActiveDate: str | None = None
    ExpiryDate: str | None = None
    Remain: Decimal | None = None
    Parent: Int64 | None = None
    OrderId: Int64 | None = None


class Lead(msgspec.Struct, kw_only=True):
    """One lead of a client; `Leads` is its id, `Id` is not unique."""

    Id: Int64 | None = None
    Leads: Int64 | None = None
    ProcTime: str | None = None
    LeadSourceName: str | None = None
    LeadStatusName: str | None = None
    LeadTypeName: str | None = None
    FormName: str | None = None
    Subject: str | None = None
    LeadMarkName: str | None = None
    CountNotReadMessage: Int32 | None = None


class FavouriteOffer(msgspec.Struct, kw_only=True):
    """One offer of a favourite product to a client (ClientFavoritesRow)."""

    Id: Int64 | None = None
    ProcTime: str | None = None
    ConfirmDateEnd: str | None = None
    Confirm: bool | None = None
    ProcTimeConfirm: str | None = None
    ActionDateEnd: str | None = None
    NoActive: bool | None = None


class FavouriteGood(msgspec.Struct, kw_only=True):
    """One of the goods of an offer (ListFavoritesRow)."""

    Id: Int64 | None = None
    ListDataId: Int64 | None = None
    UrlImage: str | None = None
    Name: str | None = None
    Code: str | None = None
    NoActive: bool | None = None


class FavouriteGroup(msgspec.Struct, kw_only=True):
    """Goods that were chosen as favourite, and how often (GroupFavoritesRow)."""

    Id: Int64 | None = None
    Name: str | None = None
    CountSelect: Int32 | None = None


RowT = TypeVar("RowT", bound=msgspec.Struct)

# Everything that msgspec may raise on hostile bytes. A number with a huge exponent raises
# ArithmeticError, deep nesting RecursionError.
READ_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError)


def decode_row(raw: bytes, row_type: type[RowT]) -> RowT:
    """Decode one row; raises msgspec.DecodeError (ValidationError) when a value does not fit."""
    try:
        row: RowT = _row_decoder(row_type).decode(raw)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError("JSON is malformed: a text is not UTF-8") from error
    names, amounts = _money_fields(row_type)
    for index, value in enumerate(amounts(row)):
        # Written so that NaN, for which every comparison is false, is rejected too.
        if value is not None and not (value.is_finite() and abs(value) < _MONEY_LIMIT):
            raise msgspec.ValidationError(f"Expected `numeric(19,2)` - at `$.{names[index]}`")
    return row


def read_field(raw: bytes, row_type: type[msgspec.Struct], name: str) -> Any:
    """Return one field of a row that may not be decodable as a whole; None if it does not fit."""
    decode = _field_decoder(row_type, name).decode
    try:
        return getattr(decode(raw), name)
    except READ_ERRORS:
        pass
    # The decoder checks the syntax of the other fields too: give it this one alone.
    try:
        member = b'{"%s":%s}' % (name.encode(), split_object(raw)[name])
        return getattr(decode(member), name)
    except (SplitError, KeyError, *READ_ERRORS):
        return None


def unknown_fields(raw: bytes, row_type: type[msgspec.Struct]) -> dict[str, Raw] | None:
    """Return the fields of a row that its type does not have, or None when it has them all."""
    known = _known_fields(row_type)
    fields = _FIELDS_DECODER.decode(raw)
    if fields.keys() <= known:
        return None
    return {name: value for name, value in fields.items() if name not in known}


_FIELDS_DECODER = msgspec.json.Decoder(dict[str, Raw])


@cache
def _row_decoder(row_type: type[RowT]) -> msgspec.json.Decoder[RowT]:
    return msgspec.json.Decoder(row_type, strict=False)


@cache
def _field_decoder(row_type: type[Any], name: str) -> msgspec.json.Decoder[msgspec.Struct]:
    types = {field.name: field.type for field in msgspec.structs.fields(row_type)}
    one_field = msgspec.defstruct("OneField", [(name, types[name], None)])
    return msgspec.json.Decoder(one_field, strict=False)


@cache
def _known_fields(row_type: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(row_type.__struct_fields__)


@cache
def _money_fields(
    row_type: type[Any],
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Decimal | None, ...]]]:
    """Return the names of the money fields, and a function that reads them all from a row."""
    fields = msgspec.structs.fields(row_type)
    names = tuple(field.name for field in fields if field.type == Decimal | None)
    if len(names) > 1:
        return names, attrgetter(*names)
    return names, lambda row: tuple(getattr(row, name) for name in names)
