"""What can go wrong with a call, sorted by what recovers from it.

    LoyaltyApiError
    ├── RequestError          our request is wrong: fix the caller; nothing was sent
    ├── TransientError        asking again may help: retried, and then a rerun may help
    │   ├── TransportError      no whole response: time-out, reset, unknown host, cut-off body
    │   │   └── CertificateError    the server's certificate is not trusted: not asked again
    │   ├── UnavailableError    HTTP 408, 429 or 5xx
    │   ├── MalformedError      an answer that is none: HTML, broken JSON or XML, no ErrorCode
    │   ├── IncompleteError     a response without its list of rows or its total
    │   ├── WrongClientError    a response that names another client
    │   └── OverloadedError     an ErrorCode whose text is a time-out or a deadlock
    ├── TooLargeError         a response beyond LCM_MAX_ANSWER_MB: asked once
    ├── IdentityError         HTTP 401, or the login was refused: fix the credentials
    └── RejectedError         final for this request
        ├── ForbiddenError      HTTP 403 and other statuses: fix the rights or the address
        └── BusinessError       any other ErrorCode, known or not

A message says what was tried, what came back and whether a rerun helps. The vendor's text in it
is scrubbed: it may quote a phone, a card, an e-mail or a name.
"""

import re

from lcm_pipeline.model.errors import UserError

_DEFINITE_STATUSES = frozenset({400, 403, 404, 410})
# ErrorCodes whose Message is the raw .NET or SQL text of a failure inside the service.
_RAW_TEXT_CODES = frozenset({3, 10, 25, 500})
_NOT_KNOWN = re.compile("(?i)не найден|не существует|не зарегистрирован|удал[её]н|not found")


class LoyaltyApiError(UserError):
    """A call failed. `asked` is what was tried, `answered` what came back."""

    advice = ""
    exhausted = False  # set once the retries are used up, so that no outer loop starts anew

    def __init__(self, call_name: str, answered: str) -> None:
        super().__init__(call_name, answered)
        self.call_name = call_name
        self.answered = answered
        self.attempts = 1

    def __str__(self) -> str:
        tries = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return f"{self.call_name}: {self.answered}{tries}; {self.advice}"

    @property
    def rerun_helps(self) -> bool:
        """Whether the same call may succeed later."""
        return isinstance(self, TransientError)


class RequestError(LoyaltyApiError, ValueError):
    """The request does not fit the contract; it was not sent."""

    advice = "nothing was sent, and a rerun does not help"


class TransientError(LoyaltyApiError):
    """Asking again may help.

    never_sent: the server cannot have seen the request, so even a write may be sent again.
    retry_after: seconds that the server asked to wait; None when it did not say.
    seconds: how long the request took until it failed.
    is_worth_retrying: whether this very call should be asked again, and not only a later one.
    """

    advice = "a rerun may help"
    never_sent = False
    retry_after: float | None = None
    seconds = 0.0
    is_worth_retrying = True


class TransportError(TransientError):
    """No whole response came."""

    def __init__(self, call_name: str, answered: str, *, never_sent: bool = False) -> None:
        super().__init__(call_name, answered)
        self.never_sent = never_sent


class CertificateError(TransportError):
    """The server's certificate is not trusted. Nothing was sent."""

    advice = (
        "LCM_CA_FILE can name a PEM file with the certificate of the authority to trust;"
        " a rerun alone does not help"
    )
    is_worth_retrying = False

    def __init__(self, call_name: str, answered: str, advice: str | None = None) -> None:
        super().__init__(call_name, answered, never_sent=True)
        self.advice = advice or self.advice


class UnavailableError(TransientError):
    """The server answered HTTP 408, 429 or 5xx."""

    def __init__(
        self, call_name: str, answered: str, *, status: int, retry_after: float | None = None
    ) -> None:
        super().__init__(call_name, answered)
        self.status = status
        self.retry_after = retry_after

    @property
    def throttled(self) -> bool:
        """Whether the server asked for fewer requests."""
        return self.status == 429


class MalformedError(TransientError):
    """The answer is not what the contract says: HTML, broken JSON, no ErrorCode, wrong types."""

    advice = "a rerun may help; if it does not, the address or the contract is wrong"


class IncompleteError(TransientError):
    """The response lacks what would prove it: the list of its rows, or their total."""

    advice = "nothing of it was taken, and a rerun may help"


class WrongClientError(TransientError):
    """The response names another client than the one that was asked for."""

    advice = "nothing of it was taken, and a rerun may help"


class OverloadedError(TransientError):
    """An ErrorCode came with the text of a time-out or a deadlock."""

    def __init__(self, call_name: str, answered: str, *, code: int) -> None:
        super().__init__(call_name, answered)
        self.code = code


class TooLargeError(LoyaltyApiError):
    """The response is larger than a response may be. It was not read to its end."""

    advice = (
        "raise LCM_MAX_ANSWER_MB if responses of that size are genuine, or lower LCM_PAGE_LENGTH;"
        " a rerun alone does not help"
    )


class IdentityError(LoyaltyApiError):
    """The server does not accept who we are."""

    advice = "check LCM_USERNAME, LCM_PASSWORD and LCM_TOKEN; a rerun alone does not help"


class RejectedError(LoyaltyApiError):
    """The server refused this request for good."""

    advice = "a rerun does not help"

    @property
    def is_definite(self) -> bool:
        """Whether it may mean that the client is not known, and no bug or pause of the service."""
        return False


class ForbiddenError(RejectedError):
    """The server answered an HTTP status that no repetition changes."""

    advice = "check the rights of the user and LCM_API_URL; a rerun alone does not help"

    def __init__(self, call_name: str, answered: str, *, status: int) -> None:
        super().__init__(call_name, answered)
        self.status = status

    @property
    def is_definite(self) -> bool:
        """A status that tells of what was asked for, not of a redirect, a lock or a conflict."""
        return self.status in _DEFINITE_STATUSES


class BusinessError(RejectedError):
    """The server answered an ErrorCode that is not known to pass."""

    def __init__(self, call_name: str, answered: str, *, code: int) -> None:
        super().__init__(call_name, answered)
        self.code = code

    @property
    def is_definite(self) -> bool:
        """Codes that carry the raw text of a failure inside tell nothing, unless the text does."""
        return self.code not in _RAW_TEXT_CODES or bool(_NOT_KNOWN.search(self.answered))
