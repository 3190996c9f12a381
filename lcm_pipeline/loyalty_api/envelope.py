"""An answer opened: HTTP status, then format, then ErrorCode; what is left can be believed.

An answer without ErrorCode is none, whatever its status. With an ErrorCode other than 0 the rows
are thrown away: some may be there already. Codes are local to an endpoint, so only the endpoint,
the code and the text together tell what may pass. One odd header value, such as an empty text
for a phone, must not cost the rows beside it: then the header is kept as it came.
"""

import re
from functools import cache
from typing import Any, TypeVar

import msgspec

from lcm_pipeline.loyalty_api.endpoints import Endpoint
from lcm_pipeline.loyalty_api.errors import (
    BusinessError,
    ForbiddenError,
    IdentityError,
    MalformedError,
    OverloadedError,
    UnavailableError,
    scrub,
)
from lcm_pipeline.loyalty_api.formats import NotAnAnswerError, answer_as_json
from lcm_pipeline.loyalty_api.retries import parse_retry_after
from lcm_pipeline.loyalty_api.wire import Reply
from lcm_pipeline.model.payloads import Int32, Response

ResponseT = TypeVar("ResponseT", bound=Response)

_PASSING_TEXT = re.compile(
    r"time-?\s?out|timed out|deadlock|transport-level error|try again|"
    r"тайм-?\s?аут|время ожидания|превышен\w* врем|взаимоблокировк|взаимн\w* блокировк|"
    r"тупиков\w* ситуац|повторите",
    re.IGNORECASE,
)


def tells_of_overload(text: str | None) -> bool:
    """Whether the vendor's text tells of a time-out or a deadlock, in Russian or English."""
    return text is not None and _PASSING_TEXT.search(text) is not None


def open_answer(
    endpoint: Endpoint[Any, ResponseT], reply: Reply, *, asked: str, now: float
) -> ResponseT:
    """Return the answer, or raise the error that it is."""
    if reply.status != 200:
        check_status(reply, asked, now)
    try:
        body = answer_as_json(endpoint, reply.content_type, reply.body)
    except NotAnAnswerError as error:
        raise MalformedError(asked, f"HTTP {reply.status}: {error}") from error
    answer = _decode(endpoint, body, asked)
    if answer.ErrorCode != 0:
        raise _business_error(endpoint, answer, asked)
    return answer


def check_status(reply: Reply, asked: str, now: float) -> None:
    """Raise the error that an HTTP status is; 2xx passes."""
    status = reply.status
    if 200 <= status < 300:
        return
    answered = f"HTTP {status}"
    if status in (408, 429) or status >= 500:
        retry_after = parse_retry_after(reply.retry_after, now)
        raise UnavailableError(asked, answered, status=status, retry_after=retry_after)
    if status == 401:
        raise IdentityError(asked, answered)
    raise ForbiddenError(asked, answered, status=status)


def _decode(endpoint: Endpoint[Any, ResponseT], body: bytes, asked: str) -> ResponseT:
    try:
        answer: ResponseT = _typed(endpoint.response_type).decode(body)
    except msgspec.ValidationError:
        answer = _decode_tolerantly(endpoint, body, asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(asked, "the JSON is broken or cut off") from error
    return answer


def _decode_tolerantly(endpoint: Endpoint[Any, Any], body: bytes, asked: str) -> Any:
    """Read an answer with a value that does not fit: ErrorCode first, then all but the header."""
    try:
        verdict = msgspec.json.decode(body, type=Response, strict=False)
    except msgspec.ValidationError as error:
        raise MalformedError(asked, "the answer has no valid ErrorCode") from error
    if verdict.ErrorCode != 0:
        return verdict
    try:
        return _untyped_header(endpoint).decode(body)
    except msgspec.ValidationError as error:
        raise MalformedError(asked, f"the answer does not fit: {error}") from error


def _business_error(
    endpoint: Endpoint[Any, Any], answer: Response, asked: str
) -> OverloadedError | BusinessError:
    code = answer.ErrorCode
    answered = f"ErrorCode {code}"
    if answer.Message:
        answered += f" «{scrub(answer.Message)}»"
    if code in endpoint.transient_codes and tells_of_overload(answer.Message):
        return OverloadedError(asked, answered, code=code)
    return BusinessError(asked, answered, code=code)


@cache
def _typed(response_type: type[ResponseT]) -> msgspec.json.Decoder[ResponseT]:
    return msgspec.json.Decoder(response_type, strict=False)


@cache
def _untyped_header(endpoint: Endpoint[Any, Any]) -> msgspec.json.Decoder[Any]:
    """Build the decoder of the same answer whose header fields stay bytes."""
    header = (*endpoint.header_fields, *endpoint.optional_header_fields)
    fields: list[tuple[str, Any, Any]] = [("ErrorCode", Int32), ("Message", str | None, None)]  # type: ignore[list-item]
    for field in msgspec.structs.fields(endpoint.response_type):
        if field.name in header:
            fields.append((field.name, msgspec.Raw, msgspec.Raw(b"null")))
        elif field.name in (endpoint.rows_field, endpoint.total_field):
            fields.append((field.name, field.type, None))
    shape = msgspec.defstruct(endpoint.response_type.__name__, fields)
    return msgspec.json.Decoder(shape, strict=False)
