"""A request checked and dressed before it is sent.

The server drops a field of the wrong type in silence and then answers unfiltered, so a request
that does not fit its contract never leaves. Dates go without an offset: the service reads a date
with `Z` three hours wrong.
"""

import re
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from lcm_pipeline.api.errors import RequestError
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.payloads import SERVICE_ZONE, Request

RequestT = TypeVar("RequestT", bound=Request)

_NAIVE_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,7})?)?")
_DATE_FIELDS = ("BegDate", "EndDate", "Birthdate")

# Characters that XML cannot carry; JSON could, but the server keeps its texts as XML too.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def to_service_time(moment: datetime) -> str:
    """Write an aware moment as the service's clock shows it, without an offset."""
    if moment.tzinfo is None:
        raise ValueError("expected a moment with a time zone")
    return moment.astimezone(SERVICE_ZONE).replace(tzinfo=None).isoformat()


def build_request(endpoint: Endpoint[RequestT, Any], fields: dict[str, Any]) -> RequestT:
    """Make the endpoint's request; a field that it does not have is an error, not a lost filter."""
    try:
        return endpoint.request_type(**fields)
    except TypeError as error:
        raise RequestError(endpoint.name, str(error)) from None


def check_request(endpoint: Endpoint[Any, Any], request: Request) -> None:
    """Raise RequestError unless every field fits its type and range."""
    if type(request) is not endpoint.request_type:
        raise RequestError(endpoint.name, f"a {type(request).__name__} is not its request")
    try:
        _decoder(endpoint).decode(_ENCODER.encode(request))
    except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
        raise RequestError(describe(endpoint, request), f"the request does not fit: {error}") from (
            None
        )
    for name in endpoint.required:
        if getattr(request, name) is None:
            raise RequestError(describe(endpoint, request), f"{name} is missing")
    for name in request.__struct_fields__:
        value = getattr(request, name)
        if isinstance(value, str):
            _check_text(endpoint, request, name, value)


def _check_text(endpoint: Endpoint[Any, Any], request: Request, name: str, value: str) -> None:
    if name in _DATE_FIELDS and not _NAIVE_TIME.fullmatch(value):
        answered = f"{name} must be a date or a time without an offset, such as 2026-03-01T00:00:00"
        raise RequestError(describe(endpoint, request), answered)
    if _UNSENDABLE.search(value):
        raise RequestError(describe(endpoint, request), f"{name} holds a control character")


def describe(endpoint: Endpoint[Any, Any], request: Request) -> str:
    """Say what is asked for, for people and logs, without personal data."""
    parts = [endpoint.name]
    client = getattr(request, "Client", None)
    if isinstance(client, int):
        parts.append(f"for client {client}")
    favourite = getattr(request, "ClientFavoriteId", None)
    if isinstance(favourite, int):
        parts.append(f"for offer {favourite}")
    start, length = getattr(request, "Start", None), getattr(request, "Length", None)
    if isinstance(start, int) and isinstance(length, int):
        parts.append(f"Start {start} Length {length}")
    beginning, end = getattr(request, "BegDate", None), getattr(request, "EndDate", None)
    if isinstance(beginning, str) and isinstance(end, str):
        parts.append(f"from {beginning[:30]} to {end[:30]}")
    return " ".join(parts)


_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type[Request], msgspec.json.Decoder[Request]] = {}


def _decoder(endpoint: Endpoint[Any, Any]) -> msgspec.json.Decoder[Request]:
    kind = endpoint.request_type
    if kind not in _DECODERS:
        _DECODERS[kind] = msgspec.json.Decoder(kind)
    return _DECODERS[kind]
