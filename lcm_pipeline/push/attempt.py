"""Sends one update to the API and classifies the result: accepted, refused, not sent, or unknown.

A response may quote the client's data. So the sent values are removed from the recorded text first,
then whatever else looks like personal data. A bad response costs only its own update: an unexpected
exception is an outcome too.
"""

import re

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import (
    AuthenticationError,
    ForbiddenError,
    LoyaltyApiError,
    MalformedError,
    RejectedError,
    RequestError,
    TransientError,
)
from lcm_pipeline.api.scrubbing import scrub
from lcm_pipeline.model.endpoints import CLIENT_UPDATE
from lcm_pipeline.model.profiles import AttemptOutcome, AttemptResult, Values
from lcm_pipeline.model.unexpected import UnexpectedErrorLog
from lcm_pipeline.transform.profiles import to_request
from lcm_pipeline.warehouse.outbox.push_lock import SEND_CHECK_ERRORS
from lcm_pipeline.warehouse.outbox.updates import Claim

_LONG_VALUE = 4
_TEXT_LIMIT = 2_000
# Attempts after which an update without a readable response fails. That is several pushes, as each
# tries an update a few times: by then the maintenance page of a proxy is gone.
_MAX_UNREADABLE = 10
# Statuses that do not come from the service itself. A firewall in front of it may return them for
# one update only, because of an apostrophe in a name.
_ACCESS_STATUSES = (403, 404, 405, 407)


async def send_update(
    api: LoyaltyApi, claim: Claim, unexpected: UnexpectedErrorLog
) -> AttemptResult:
    """Send a claimed update; API errors and unexpected errors become results.

    Raises SEND_CHECK_ERRORS, from the check before each request whether this process may still
    send.
    """
    try:
        response = await api.call(CLIENT_UPDATE, to_request(claim.client_id, claim.values))
    except LoyaltyApiError as error:
        is_credentials_error = isinstance(error, AuthenticationError)
        is_access_denied = _is_access_denied(error)
        # The response to this update could not be read for so long that it may never be.
        is_unreadable = (
            isinstance(error, MalformedError) and claim.attempt_number >= _MAX_UNREADABLE
        )
        text = error.reason
        if is_credentials_error or is_access_denied:
            text = f"{text}; {error.advice}"
        return AttemptResult(
            _outcome_of(error),
            error_code=getattr(error, "code", None),
            error_class=type(error).__name__,
            error=without_values(text, claim.values),
            is_credentials_error=is_credentials_error,
            is_ambiguous=is_access_denied or is_unreadable,
        )
    except SEND_CHECK_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - one response must not stop the others
        unexpected.record(f"update {claim.update_id}", error)
        name = type(error).__name__
        return AttemptResult(
            "unknown", error_class=name, error=describe_unexpected(error), is_ambiguous=True
        )
    if response.Message:
        return AttemptResult("partial", 0, error=without_values(response.Message, claim.values))
    return AttemptResult("sent", 0)


def describe_unexpected(error: Exception) -> str:
    """Describe an unexpected error for the outbox, without its message: that may quote a value."""
    return f"an unexpected {type(error).__name__}: the log says where"


def without_values(text: str, values: Values) -> str:
    """Remove the sent values from the vendor's text, then whatever looks like personal data."""
    for value in sorted((v for v in values.values() if isinstance(v, str)), key=len, reverse=True):
        wanted = re.escape(value.strip())
        # A short value may be part of an ordinary word, so match it only as a whole word.
        pattern = wanted if len(value) >= _LONG_VALUE else rf"(?<!\w){wanted}(?!\w)"
        text = re.sub(pattern, "[value]", text[:_TEXT_LIMIT], flags=re.IGNORECASE)
    return scrub(text)


def _is_access_denied(error: LoyaltyApiError) -> bool:
    """Whether the update was refused before the service saw it, such as by a firewall."""
    return isinstance(error, ForbiddenError) and (
        300 <= error.status < 400 or error.status in _ACCESS_STATUSES
    )


def _outcome_of(error: LoyaltyApiError) -> AttemptOutcome:
    """Classify an error: the update was refused, it was not sent, or the outcome is unknown."""
    if isinstance(error, AuthenticationError) or _is_access_denied(error):
        return "not sent"
    if isinstance(error, RejectedError | RequestError):
        return "failed"
    if isinstance(error, TransientError) and (error.throttled or error.never_sent):
        return "not sent"
    return "unknown"
