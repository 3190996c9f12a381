"""One update to the API and what came of it: taken, refused, never carried out, or nobody knows.

The surprising fact: an answer may quote whom it is about. So what is told of it has lost the
values that were sent, and then whatever else looks like personal data.
"""

import re

from lcm_pipeline.loyalty_api.client import LoyaltyApi
from lcm_pipeline.loyalty_api.endpoints import CLIENT_UPDATE
from lcm_pipeline.loyalty_api.errors import (
    ForbiddenError,
    IdentityError,
    LoyaltyApiError,
    RejectedError,
    RequestError,
    TransientError,
    UnavailableError,
    scrub,
)
from lcm_pipeline.model.profiles import Answered, AttemptOutcome, Values
from lcm_pipeline.transform.profile_updates import to_request
from lcm_pipeline.warehouse.outbox import Claim

_LONG_VALUE = 4
_TEXT_LIMIT = 2_000
# With other statuses the service says something of what was sent.
_NO_ENTRY = (403, 404, 405)


async def ask(api: LoyaltyApi, claim: Claim) -> Answered:
    """Send a claimed update; never raises what the API answers."""
    try:
        answer = await api.call(CLIENT_UPDATE, to_request(claim.client_id, claim.values))
    except LoyaltyApiError as error:
        is_about_us = _is_about_us(error)
        told = f"{error.answered}; {error.advice}" if is_about_us else error.answered
        return Answered(
            _outcome_of(error),
            error_code=getattr(error, "code", None),
            error_class=type(error).__name__,
            error=without_values(told, claim.values),
            is_about_us=is_about_us,
        )
    if answer.Message:
        return Answered("partial", 0, error=without_values(answer.Message, claim.values))
    return Answered("sent", 0)


def without_values(text: str, values: Values) -> str:
    """The vendor's text without personal data: neither what was sent, nor what looks like it."""
    for value in sorted((v for v in values.values() if isinstance(v, str)), key=len, reverse=True):
        wanted = re.escape(value.strip())
        # A short value may be a piece of an ordinary word.
        pattern = wanted if len(value) >= _LONG_VALUE else rf"(?<!\w){wanted}(?!\w)"
        text = re.sub(pattern, "[value]", text[:_TEXT_LIMIT], flags=re.IGNORECASE)
    return scrub(text)


def _is_about_us(error: LoyaltyApiError) -> bool:
    """Whether no update at all would be let in: other statuses are about what was sent."""
    if isinstance(error, ForbiddenError):
        return error.status in _NO_ENTRY
    return isinstance(error, IdentityError)


def _outcome_of(error: LoyaltyApiError) -> AttemptOutcome:
    """What a failure says of the update: refused, never carried out, or nobody knows."""
    if _is_about_us(error):
        return "not sent"
    if isinstance(error, RejectedError | RequestError):
        return "failed"
    was_throttled = isinstance(error, UnavailableError) and error.throttled
    if was_throttled or (isinstance(error, TransientError) and error.never_sent):
        return "not sent"
    return "unknown"
