"""Checks requests before they are sent.

The server silently ignores a field of the wrong type and returns unfiltered data, so a request that
does not match its definition is never sent. Dates are sent without an offset: the service misreads
a date with `Z` by three hours.
"""

import re
from functools import cache
from typing import Any

import msgspec

from lcm_pipeline.api.errors import RequestError
from lcm_pipeline.api.xml_characters import FORBIDDEN
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.payloads import Request

_NAIVE_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,7})?)?")
_DATE_FIELDS = ("BegDate", "EndDate", "Birthdate")


def check_request(endpoint: Endpoint[Any, Any], request: Request) -> None:
    """Raise RequestError unless every field fits its type and range."""
    if type(request) is not endpoint.request_type:
        raise RequestError(
            f"{type(request).__name__} is the request of another endpoint", endpoint.name
        )
    # msgspec checks types and ranges only when it decodes, so encode the request and decode it.
    try:
        _decoder(endpoint.request_type).decode(_ENCODER.encode(request))
    except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
        raise RequestError(f"the request does not fit: {error}", describe(endpoint, request)) from (
            None
        )
    for name in endpoint.required:
        if getattr(request, name) is None:
            raise RequestError(f"{name} is missing", describe(endpoint, request))
    for name in request.__struct_fields__:
        value = getattr(request, name)
        if not isinstance(value, str):
            continue
        if name in _DATE_FIELDS and not _NAIVE_TIME.fullmatch(value):
            reason = f"{name} must be a date or time without an offset, such as 2026-03-01T00:00:00"
            raise RequestError(reason, describe(endpoint, request))
        # Also in JSON, which allows them: the server serves the same texts as XML.
        if FORBIDDEN.search(value):
            raise RequestError(f"{name} contains a control character", describe(endpoint, request))


def describe(endpoint: Endpoint[Any, Any], request: Request) -> str:
    """Describe a request for messages and logs, without personal data."""
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


@cache
def _decoder(request_type: type[Request]) -> msgspec.json.Decoder[Request]:
    return msgspec.json.Decoder(request_type)
