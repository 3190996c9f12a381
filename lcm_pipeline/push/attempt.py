"""One update to the API and what came of it: taken, refused, never carried out, or nobody knows.

A response may quote whom it is about. So what is recorded of it has lost the
values that were sent, and then whatever else looks like personal data. Whatever an answer holds,
it costs its own update alone: an exception that nobody foresaw is an outcome too.
"""

import logging
import re
import traceback

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import (
    ForbiddenError,
    IdentityError,
    LoyaltyApiError,
    MalformedError,
    RejectedError,
    RequestError,
    TransientError,
    UnavailableError,
)
from lcm_pipeline.api.scrubbing import scrub
from lcm_pipeline.model.endpoints import CLIENT_UPDATE
from lcm_pipeline.model.profiles import AttemptOutcome, AttemptResult, Values
from lcm_pipeline.transform.profiles import to_request
from lcm_pipeline.warehouse.outbox.push_lock import SEND_CHECK_ERRORS
from lcm_pipeline.warehouse.outbox.updates import Claim

logger = logging.getLogger(__name__)

_LONG_VALUE = 4
_TEXT_LIMIT = 2_000
_MOST_FRAMES = 20
# Several pushes, as each tries an update a few times: a page of maintenance is over by then.
_MOST_UNREADABLE = 10
# With other statuses the service says something of what was sent. A firewall in front of it
# answers these to one update alone, for an apostrophe in a name.
_NO_ENTRY = (403, 404, 405, 407)


async def ask(api: LoyaltyApi, claim: Claim, logged: set[str]) -> AttemptResult:
    """Send a claimed update; never raises what the API answers, nor what its answer brings about.

    logged: the unexpected errors that the log has already. Raises the errors of the warehouse,
    which is asked for leave before each request.
    """
    try:
        answer = await api.call(CLIENT_UPDATE, to_request(claim.client_id, claim.values))
    except LoyaltyApiError as error:
        is_about_us = isinstance(error, IdentityError)
        is_no_entry = _is_no_entry(error)
        text = error.reason
        if is_about_us or is_no_entry:
            text = f"{text}; {error.advice}"
        return AttemptResult(
            _outcome_of(error),
            error_code=getattr(error, "code", None),
            error_class=type(error).__name__,
            error=without_values(text, claim.values),
            is_about_us=is_about_us,
            is_ambiguous=is_no_entry or _is_hopeless(error, claim),
        )
    except SEND_CHECK_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - one answer must not end the push of all
        log_unexpected(claim.update_id, error, logged)
        name = type(error).__name__
        return AttemptResult(
            "unknown", error_class=name, error=unexpected(error), is_ambiguous=True
        )
    if answer.Message:
        return AttemptResult("partial", 0, error=without_values(answer.Message, claim.values))
    return AttemptResult("sent", 0)


def unexpected(error: Exception) -> str:
    """What is recorded of an unexpected error; its own text may quote a value."""
    return f"an unexpected {type(error).__name__}: the log says where"


def log_unexpected(update_id: int, error: Exception, logged: set[str]) -> None:
    """Log where an error came from, once in a push: frames and names of classes, no texts."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    frames = "".join(
        f"{''.join(traceback.format_tb(one.__traceback__, -_MOST_FRAMES))}{type(one).__name__}\n"
        for one in reversed(causes)
    )
    if frames not in logged:
        logged.add(frames)
        logger.error("update %s: an unexpected error\n%s", update_id, frames)


def without_values(text: str, values: Values) -> str:
    """The vendor's text without personal data: neither what was sent, nor what looks like it."""
    for value in sorted((v for v in values.values() if isinstance(v, str)), key=len, reverse=True):
        wanted = re.escape(value.strip())
        # A short value may be a piece of an ordinary word.
        pattern = wanted if len(value) >= _LONG_VALUE else rf"(?<!\w){wanted}(?!\w)"
        text = re.sub(pattern, "[value]", text[:_TEXT_LIMIT], flags=re.IGNORECASE)
    return scrub(text)


def _is_no_entry(error: LoyaltyApiError) -> bool:
    """Whether the update was turned away at the door, by a status that says nothing of it."""
    return isinstance(error, ForbiddenError) and (
        300 <= error.status < 400 or error.status in _NO_ENTRY
    )


def _is_hopeless(error: LoyaltyApiError, claim: Claim) -> bool:
    """Whether no answer to an update could be read for so long that it may never be."""
    return isinstance(error, MalformedError) and claim.attempt_number >= _MOST_UNREADABLE


def _outcome_of(error: LoyaltyApiError) -> AttemptOutcome:
    """What a failure says of the update: refused, never carried out, or nobody knows."""
    if isinstance(error, IdentityError) or _is_no_entry(error):
        return "not sent"
    if isinstance(error, RejectedError | RequestError):
        return "failed"
    was_throttled = isinstance(error, UnavailableError) and error.throttled
    if was_throttled or (isinstance(error, TransientError) and error.never_sent):
        return "not sent"
    return "unknown"
