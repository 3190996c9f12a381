"""Errors of a call, grouped by how to recover from them.

    LoyaltyApiError
    ├── RequestError          our request is invalid: fix the caller; nothing was sent
    ├── TransientError        retried; when the attempts are used up, a rerun may help
    │   ├── TransportError      no complete response: time-out, reset, unknown host, cut-off body
    │   │   └── CertificateError    the server's certificate is not trusted: not retried
    │   ├── UnavailableError    HTTP 408, 429 or 5xx
    │   ├── MalformedError      an invalid response: HTML, broken JSON or XML, no ErrorCode
    │   ├── IncompleteError     a response without its list of rows or its total
    │   ├── WrongClientError    a response for another client
    │   └── OverloadedError     an ErrorCode whose text reports a time-out or a deadlock
    ├── TooLargeError         a response larger than LCM_MAX_ANSWER_MB: not retried
    ├── AuthenticationError   HTTP 401: fix the credentials
    │   └── LoginError          the login was refused, or its response cannot be used
    └── RejectedError         final for this request
        ├── ForbiddenError      HTTP 403 and other statuses: fix the rights or the address
        └── BusinessError       any other ErrorCode, known or not

A message says what was tried, what came back and whether a rerun helps. Text of the vendor in it is
scrubbed: it may quote a phone, a card, an e-mail or a name.
"""

import re
from typing import NamedTuple

from lcm_pipeline.model.errors import UserError

_GATEWAY_TIMED_OUT = (408, 504)
_STATUSES_ABOUT_REQUEST = frozenset({400, 403, 404, 410})
# ErrorCodes for which the service puts the raw .NET or SQL error into Message, which may report a
# time-out.
RAW_TEXT_CODES = frozenset({3, 10, 25, 500})
_NOT_KNOWN = re.compile("(?i)не найден|не существует|не зарегистрирован|удал[её]н|not found")
# The text of a BusinessError, such as: ErrorCode 2 «Токен не найден или устарел».
_ERROR_CODE = re.compile(r"ErrorCode \d+ «[^»]*»")
_WORDS_OF_CREDENTIALS = {
    "LCM_TOKEN": re.compile(r"(?i)токен|\btoken"),
    "LCM_OPERATOR": re.compile(r"(?i)оператор|\boperator"),
}


class LoyaltyApiError(UserError):
    """A call failed.

    reason: what came back. call_name: what was tried; where a request is sent, the client sets it.
    attempts: how often it was tried. exhausted: the attempts are used up, so that no outer retry
    loop starts over. advice: what to do next. may_pass: whether the same command may succeed later,
    although nothing was corrected.
    """

    advice = ""
    may_pass = False
    exhausted = False

    def __init__(self, reason: str, call_name: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.call_name = call_name
        self.attempts = 1

    def __str__(self) -> str:
        tries = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return f"{self.call_name}: {self.reason}{tries}; {self.advice}"


class RequestError(LoyaltyApiError, ValueError):
    """The request does not match the endpoint's definition; it was not sent."""

    advice = "nothing was sent, and a rerun does not help"


class TransientError(LoyaltyApiError):
    """The same request may succeed later.

    never_sent: the server cannot have received the request, so even a write may be retried.
    throttled: the server requests a lower rate (HTTP 429).
    timed_out: a time limit was reached, ours, a gateway's or the service's; a deadlock counts as
    one. The same request would most likely take as long again.
    retry_after: seconds to wait as requested by the server; None when it did not say.
    seconds: how long the request took until it failed.
    is_worth_retrying: whether to retry this call now, not only in a later run.
    """

    advice = "a rerun may help"
    may_pass = True
    never_sent = False
    throttled = False
    timed_out = False
    retry_after: float | None = None
    seconds = 0.0
    is_worth_retrying = True


class TransportError(TransientError):
    """No complete response was received."""

    def __init__(self, reason: str, *, never_sent: bool = False, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.never_sent = never_sent
        self.timed_out = timed_out


class CertificateError(TransportError):
    """The server's certificate is not trusted. Nothing was sent."""

    advice = (
        "LCM_CA_FILE can name a PEM file with the certificate of the authority to trust;"
        " a rerun alone does not help"
    )
    may_pass = False
    is_worth_retrying = False

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, never_sent=True)
        self.advice = advice


class UnavailableError(TransientError):
    """The response has HTTP status 408, 429 or 5xx."""

    def __init__(self, reason: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.throttled = status == 429
        if self.throttled:
            self.advice = (
                "the service wants fewer requests: lower LCM_MAX_RPS or LCM_CONCURRENCY, or ask its"
                " operator for the limit; a rerun may help"
            )
        self.timed_out = status in _GATEWAY_TIMED_OUT
        self.retry_after = retry_after


class MalformedError(TransientError):
    """The response is invalid: HTML, broken JSON or XML, no ErrorCode, wrong types."""

    advice = "a rerun may help; if it does not, the address or the response format is wrong"


class IncompleteError(TransientError):
    """The response lacks the list of rows or the total, which are needed to prove it."""

    advice = "nothing of it was taken, and a rerun may help"


class WrongClientError(TransientError):
    """The response is for another client than the requested one."""

    advice = "nothing of it was taken, and a rerun may help"


class OverloadedError(TransientError):
    """The response has an ErrorCode, and its text reports a time-out or a deadlock."""

    timed_out = True

    def __init__(self, reason: str, *, code: int) -> None:
        super().__init__(reason)
        self.code = code


class TooLargeError(LoyaltyApiError):
    """The response is larger than LCM_MAX_ANSWER_MB. It was not read to its end."""

    advice = (
        "raise LCM_MAX_ANSWER_MB if responses of that size are genuine, or lower LCM_PAGE_LENGTH;"
        " a rerun alone does not help"
    )


class AuthenticationError(LoyaltyApiError):
    """The server does not accept our credentials."""

    advice = "correct LCM_TOKEN, or LCM_USERNAME and LCM_PASSWORD; a rerun alone does not help"


class LoginError(AuthenticationError):
    """The login did not succeed, so no call can be made."""


class RejectedError(LoyaltyApiError):
    """The server refused this request, and would refuse it again."""

    advice = "a rerun alone does not help"

    @property
    def is_about_request(self) -> bool:
        """Whether it is about the request, as for an unknown client, not a failure inside."""
        return False


class ForbiddenError(RejectedError):
    """The response has an HTTP status that a retry does not change."""

    advice = "check the rights of the user and LCM_API_URL; a rerun alone does not help"

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def is_about_request(self) -> bool:
        """Whether the status concerns the request: not a redirect, a lock or a conflict."""
        return self.status in _STATUSES_ABOUT_REQUEST


class BusinessError(RejectedError):
    """The response has an ErrorCode that is not known to be transient."""

    def __init__(self, reason: str, *, code: int) -> None:
        super().__init__(reason)
        self.code = code

    @property
    def is_about_request(self) -> bool:
        """Whether the code or its text is about the request.

        A code for failures inside the service says nothing about the client, unless its text does.
        """
        return self.code not in RAW_TEXT_CODES or bool(_NOT_KNOWN.search(self.reason))


class RefusedCredential(NamedTuple):
    """The setting that the service refuses, and what it responded."""

    setting: str
    response: str


def refused_credential(message: str) -> RefusedCredential | None:
    """The credential that the message of an error says is refused; None if it says no such thing.

    The service has no separate ErrorCode for it, so it is recognized by the words of the response.
    They are taken from the message, as an error has nothing else when the step of a run that it
    stopped was executed in another process: Dagster passes on its text.
    """
    if response := _ERROR_CODE.search(message):
        for setting, words in _WORDS_OF_CREDENTIALS.items():
            if words.search(response[0]):
                return RefusedCredential(setting, response[0])
    return None
