"""Parses and checks responses: HTTP status, format, ErrorCode, required members, in this order.

A response without ErrorCode is invalid, whatever its status. With an ErrorCode other than 0 its
rows are discarded, as they may be incomplete. Whether an error is transient depends on code and
text together.

One value that cannot be decoded (a bad character in one text, an empty phone) must not cost the
other rows: `_read_tolerantly` splits such a response without decoding it as a whole.
"""

import json
import re
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lcm_pipeline.api.errors import (
    RAW_TEXT_CODES,
    AuthenticationError,
    BusinessError,
    ForbiddenError,
    IncompleteError,
    MalformedError,
    OverloadedError,
    UnavailableError,
    WrongClientError,
)
from lcm_pipeline.api.formats import NotAResponseError, response_as_json
from lcm_pipeline.api.retries import LONGEST_RETRY_AFTER, parse_retry_after
from lcm_pipeline.api.scrubbing import scrub
from lcm_pipeline.api.transport import HttpResponse
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.json_split import SplitError, split_array, split_object
from lcm_pipeline.model.payloads import READ_ERRORS, Int32, Request, Response

ResponseT = TypeVar("ResponseT", bound=Response)

# The quantifiers are bounded, as the text may be as long as a response.
_PASSING_TEXT = re.compile(
    r"time-?\s?out|timed out|deadlock|transport-level error|try again|"
    r"тайм-?\s?аут|время ожидания|превышен\w{0,8} врем|взаимоблокировк|"
    r"взаимн\w{0,8} блокировк|тупиков\w{0,8} ситуац|повторите",
    re.IGNORECASE,
)
_MAX_TEXT_READ = 10_000
# Seconds of a Retry-After in a message; a server may send 60 digits.
_LONGEST_SHOWN = 999_999_999
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")

# Only larger responses are checked for tiny values, which would exhaust memory when decoded.
_LARGE = 4 * 2**20
_MIN_BYTES_PER_VALUE = 5
_MIN_BYTES_PER_ROW = 32


def reports_overload(text: str | None) -> bool:
    """Whether the vendor's text reports a time-out or a deadlock, in Russian or English."""
    return text is not None and _PASSING_TEXT.search(text[:_MAX_TEXT_READ]) is not None


def parse_response(
    endpoint: Endpoint[Any, ResponseT],
    request: Request,
    http_response: HttpResponse,
    now: float,
) -> ResponseT:
    """Return the response to a request, or raise the LoyaltyApiError that it represents.

    now: Unix time, for a Retry-After that is a date.
    """
    if http_response.status != 200:
        check_status(http_response, now)
    _check_density(http_response.body)
    try:
        body = response_as_json(endpoint, http_response.content_type, http_response.body)
    except NotAResponseError as error:
        raise MalformedError(f"HTTP {http_response.status}: {error}") from error
    try:
        response: ResponseT = _decoder(endpoint.response_type).decode(body)
    except READ_ERRORS:
        response = _read_tolerantly(endpoint, body)
    if response.ErrorCode != 0:
        reason = f"ErrorCode {response.ErrorCode}"
        if response.Message:
            reason += f" «{scrub(response.Message)}»"
        if response.ErrorCode in RAW_TEXT_CODES and reports_overload(response.Message):
            raise OverloadedError(reason, code=response.ErrorCode)
        raise BusinessError(reason, code=response.ErrorCode)
    check_complete(endpoint, request, response)
    _check_density(http_response.body, rows=getattr(response, endpoint.rows_field or "", None))
    return response


def check_status(response: HttpResponse, now: float) -> None:
    """Raise the error for an HTTP status other than 2xx."""
    status = response.status
    if 200 <= status < 300:
        return
    reason = f"HTTP {status}"
    if status in (408, 429) or status >= 500:
        retry_after = parse_retry_after(response.retry_after, now)
        if retry_after is not None and retry_after > LONGEST_RETRY_AFTER:
            reason += f", which asks to wait {min(retry_after, _LONGEST_SHOWN):,.0f} s"
        raise UnavailableError(reason, status=status, retry_after=retry_after)
    if status == 401:
        raise AuthenticationError(reason)
    if response.location:
        reason += f", which points to {response.location}"
    raise ForbiddenError(reason, status=status)


def check_complete(endpoint: Endpoint[Any, Any], request: Request, response: Response) -> None:
    """Raise IncompleteError or WrongClientError unless the response can be trusted to be complete.

    It must have the list of rows and, where the endpoint has one, the total. A null list counts as
    empty only when the total is 0. When the response names a client, it must be the requested one.
    """
    if endpoint.rows_field is None:
        return
    rows = getattr(response, endpoint.rows_field)
    total = getattr(response, endpoint.total_field) if endpoint.total_field else 0
    for name, value in ((endpoint.rows_field, rows), (endpoint.total_field, total)):
        if value is UNSET:
            raise IncompleteError(f"the response lacks {name}")
    if rows is None and not (endpoint.rows_may_be_null or (endpoint.total_field and total == 0)):
        detail = "" if endpoint.total_field is None else f", and {endpoint.total_field} is not 0"
        raise IncompleteError(f"{endpoint.rows_field} is null in the response{detail}")
    if endpoint.client_field is None:
        return
    named = _named_client(getattr(response, endpoint.client_field))
    if named not in (None, 0, getattr(request, "Client", None)):
        raise WrongClientError(f"the response is about client {named}")


def _named_client(value: Any) -> int | None:
    """The client that a response names; None if it names none that can be read."""
    if isinstance(value, int):
        return value
    if isinstance(value, Raw):
        with suppress(ValueError, RecursionError):
            text = json.loads(bytes(value))
            # XML allows leading zeros, a plus sign and white space; the decoder does not.
            if isinstance(text, str) and _INTEGER.fullmatch(text.strip()):
                return int(text)
    return None


def _check_density(body: bytes, rows: list[Raw] | None = None) -> None:
    """Raise for a large response of tiny values or rows, which would take 100 times its size."""
    if len(body) <= _LARGE:
        return
    if rows is None:
        values = max(body.count(b",") + body.count(b"[") + body.count(b"{"), body.count(b"<"))
        is_real = values * _MIN_BYTES_PER_VALUE <= len(body)
    else:
        is_real = len(rows) * _MIN_BYTES_PER_ROW <= len(body)
    if not is_real:
        raise MalformedError(f"{len(body)} bytes contain more values than any real response")


def _read_tolerantly(endpoint: Endpoint[Any, Any], body: bytes) -> Any:
    """Read a response that cannot be decoded: each row and each value of the envelope on its own.

    A value that does not fit its type stays bytes, to be rejected when the row or envelope is read.
    """
    try:
        members = split_object(body)
    except SplitError as error:
        raise MalformedError("the JSON is broken or cut off") from error
    code = _read(members.get("ErrorCode", b""), Int32)
    if code is UNSET:
        raise MalformedError("the response has no valid ErrorCode")
    fields = {"ErrorCode": code, "Message": _read_text(members.get("Message", b"null"))}
    if code != 0:
        return endpoint.response_type(**fields)
    for name in members.keys() & endpoint.field_types.keys():
        if name == endpoint.rows_field:
            try:
                rows = None if members[name] == b"null" else split_array(members[name])
            except SplitError as error:
                raise MalformedError(f"{name} is not a list") from error
            fields[name] = None if rows is None else [Raw(row) for row in rows]
        elif name == endpoint.total_field:
            fields[name] = _read(members[name], Int32 | None)
            if fields[name] is UNSET:
                raise MalformedError(f"{name} is not a number of rows")
        else:
            fields[name] = _read_envelope_value(members[name], endpoint.field_types[name])
    return endpoint.response_type(**fields)


def _read_envelope_value(value: bytes, kind: Any) -> Any:
    read = _read(value, kind)
    if read is not UNSET:
        return read
    try:
        return [Raw(item) for item in split_array(value)]
    except SplitError:
        return Raw(value)


def _read_text(value: bytes) -> str | None:
    """Decode what can be decoded of a string, or return another value as its JSON text."""
    read: str | UnsetType | None = _read(value, str | None)
    if read is not UNSET:
        return read
    text = value.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        lenient = json.loads(text, strict=False)
        text = lenient if isinstance(lenient, str) else text
    return text.encode("utf-8", "replace").decode()


def _read(value: bytes, kind: Any) -> Any:
    """Decode one value as a type; UNSET when it does not fit."""
    try:
        return _decoder(kind).decode(value)
    except READ_ERRORS:
        return UNSET


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)
