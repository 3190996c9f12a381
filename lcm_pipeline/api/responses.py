"""An answer opened: HTTP status, then format, then ErrorCode; what is left can be believed.

An answer without ErrorCode is none, whatever its status. With an ErrorCode other than 0 the rows
are thrown away: some may be there already. Codes are local to an endpoint, so only the endpoint,
the code and the text together say whether it may pass. What `check_complete` refuses proves
nothing.

One value that cannot be read, a bad character in one text or an empty phone, must not cost the
rows beside it: `_read_tolerantly` takes such a response apart without decoding it whole.
"""

import json
import re
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lcm_pipeline.api.errors import (
    BusinessError,
    ForbiddenError,
    IdentityError,
    IncompleteError,
    MalformedError,
    OverloadedError,
    UnavailableError,
    WrongClientError,
)
from lcm_pipeline.api.formats import NotAResponseError, response_as_json
from lcm_pipeline.api.retries import parse_retry_after
from lcm_pipeline.api.scrubbing import scrub
from lcm_pipeline.api.transport import HttpResponse
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.json_split import SplitError, split_array, split_object
from lcm_pipeline.model.payloads import READ_ERRORS, Int32, Request, Response

ResponseT = TypeVar("ResponseT", bound=Response)

# Bounded quantifiers: the text may be as long as a response.
_PASSING_TEXT = re.compile(
    r"time-?\s?out|timed out|deadlock|transport-level error|try again|"
    r"тайм-?\s?аут|время ожидания|превышен\w{0,8} врем|взаимоблокировк|"
    r"взаимн\w{0,8} блокировк|тупиков\w{0,8} ситуац|повторите",
    re.IGNORECASE,
)
_MOST_TEXT_READ = 10_000

# Small responses are never checked for it: a few bytes a value are no burden there.
_LARGE = 4 * 2**20
_FEWEST_BYTES_PER_VALUE = 5
_FEWEST_BYTES_PER_ROW = 32


def reports_overload(text: str | None) -> bool:
    """Whether the vendor's text is a time-out or a deadlock, in Russian or English."""
    return text is not None and _PASSING_TEXT.search(text[:_MOST_TEXT_READ]) is not None


def open_response(
    endpoint: Endpoint[Any, ResponseT],
    request: Request,
    reply: HttpResponse,
    *,
    call_name: str,
    now: float,
) -> ResponseT:
    """Return the answer to the request, or raise the error that it is."""
    if reply.status != 200:
        check_status(reply, call_name, now)
    _check_density(reply.body, call_name)
    try:
        body = response_as_json(endpoint, reply.content_type, reply.body)
    except NotAResponseError as error:
        raise MalformedError(call_name, f"HTTP {reply.status}: {error}") from error
    try:
        answer: ResponseT = _typed(endpoint.response_type).decode(body)
    except READ_ERRORS:
        answer = _read_tolerantly(endpoint, body, call_name)
    if answer.ErrorCode != 0:
        raise _business_error(endpoint, answer, call_name)
    check_complete(endpoint, request, answer, call_name)
    _check_density(reply.body, call_name, rows=getattr(answer, endpoint.rows_field or "", None))
    return answer


def check_status(reply: HttpResponse, call_name: str, now: float) -> None:
    """Raise the error that an HTTP status is; 2xx passes."""
    status = reply.status
    if 200 <= status < 300:
        return
    answered = f"HTTP {status}"
    if status in (408, 429) or status >= 500:
        retry_after = parse_retry_after(reply.retry_after, now)
        raise UnavailableError(call_name, answered, status=status, retry_after=retry_after)
    if status == 401:
        raise IdentityError(call_name, answered)
    if reply.location:
        answered += f", which points to {reply.location}"
    raise ForbiddenError(call_name, answered, status=status)


def check_complete(
    endpoint: Endpoint[Any, Any], request: Request, answer: Response, call_name: str
) -> None:
    """Raise unless the answer holds what an answer must hold before its rows are believed.

    The one rule: the list of rows is there, and the total where the endpoint has one; a null list
    is empty only where the total says 0; and where the answer names its client, it is the one that
    was asked for.
    """
    if endpoint.rows_field is None:
        return
    rows = getattr(answer, endpoint.rows_field)
    total = getattr(answer, endpoint.total_field) if endpoint.total_field else 0
    for name, value in ((endpoint.rows_field, rows), (endpoint.total_field, total)):
        if value is UNSET:
            raise IncompleteError(call_name, f"the response lacks {name}")
    if rows is None and not (endpoint.rows_may_be_null or (endpoint.total_field and total == 0)):
        beside = "" if endpoint.total_field is None else f", and {endpoint.total_field} is not 0"
        raise IncompleteError(call_name, f"{endpoint.rows_field} is null in the response{beside}")
    if endpoint.client_field is None:
        return
    named, wanted = getattr(answer, endpoint.client_field), getattr(request, "Client", None)
    if isinstance(named, int) and named not in (0, wanted):
        raise WrongClientError(call_name, f"the response is about client {named}")


def _check_density(body: bytes, call_name: str, rows: list[Raw] | None = None) -> None:
    """Refuse a large response of tiny values or rows: in memory it would grow a hundredfold."""
    if len(body) <= _LARGE:
        return
    if rows is None:
        values = max(body.count(b",") + body.count(b"[") + body.count(b"{"), body.count(b"<"))
        is_real = values * _FEWEST_BYTES_PER_VALUE <= len(body)
    else:
        is_real = len(rows) * _FEWEST_BYTES_PER_ROW <= len(body)
    if not is_real:
        raise MalformedError(
            call_name, f"{len(body)} bytes hold more values than any real response"
        )


def _read_tolerantly(endpoint: Endpoint[Any, Any], body: bytes, call_name: str) -> Any:
    """Read an answer with something that cannot be read: each row and each header value alone.

    What does not fit its type stays the bytes that came, for whoever reads the row or the header to
    refuse.
    """
    try:
        members = split_object(body)
    except SplitError as error:
        raise MalformedError(call_name, "the JSON is broken or cut off") from error
    code = _read(members.get("ErrorCode", b""), Int32)
    if code is UNSET:
        raise MalformedError(call_name, "the response has no valid ErrorCode")
    fields = {"ErrorCode": code, "Message": _lenient_text(members.get("Message", b"null"))}
    if code != 0:
        return endpoint.response_type(**fields)
    for name in members.keys() & endpoint.field_types.keys():
        if name == endpoint.rows_field:
            fields[name] = _rows_of(name, members[name], call_name)
        elif name == endpoint.total_field:
            fields[name] = _read(members[name], Int32 | None)
            if fields[name] is UNSET:
                raise MalformedError(call_name, f"{name} is not a number of rows")
        else:
            fields[name] = _header_value(members[name], endpoint.field_types[name])
    return endpoint.response_type(**fields)


def _rows_of(name: str, value: bytes, call_name: str) -> list[Raw] | None:
    if value == b"null":
        return None
    try:
        return [Raw(row) for row in split_array(value)]
    except SplitError as error:
        raise MalformedError(call_name, f"{name} is not a list") from error


def _header_value(value: bytes, kind: Any) -> Any:
    read = _read(value, kind)
    if read is not UNSET:
        return read
    try:
        return [Raw(item) for item in split_array(value)]
    except SplitError:
        return Raw(value)


def _lenient_text(value: bytes) -> str | None:
    """Read a text with whatever can be read of it, or another value as the text that it is."""
    read: str | UnsetType | None = _read(value, str | None)
    if read is not UNSET:
        return read
    text = value.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        lenient = json.loads(text, strict=False)
        text = lenient if isinstance(lenient, str) else text
    return text.encode("utf-8", "replace").decode()


def _read(value: bytes, kind: Any) -> Any:
    """Read one value as its type; UNSET where it does not fit."""
    try:
        return _typed(kind).decode(value)
    except READ_ERRORS:
        return UNSET


def _business_error(
    endpoint: Endpoint[Any, Any], answer: Response, call_name: str
) -> OverloadedError | BusinessError:
    code = answer.ErrorCode
    answered = f"ErrorCode {code}"
    if answer.Message:
        answered += f" «{scrub(answer.Message)}»"
    if code in endpoint.transient_codes and reports_overload(answer.Message):
        return OverloadedError(call_name, answered, code=code)
    return BusinessError(call_name, answered, code=code)


@cache
def _typed(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)
