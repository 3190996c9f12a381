"""Credentials of a request, and how the response of a login is parsed into them.

All of it is secret: no repr shows a value.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import msgspec

from lcm_pipeline.api.charsets import CharsetError, to_utf8
from lcm_pipeline.api.clocks import Clock
from lcm_pipeline.api.errors import MalformedError
from lcm_pipeline.api.transport import HttpResponse
from lcm_pipeline.model.payloads import READ_ERRORS, Int64, Request

ValueT = TypeVar("ValueT")

# Seconds before its expiry at which a token is renewed, or a fifth of a short lifetime.
RENEWAL_MARGIN = 60.0
DEFAULT_LIFETIME = 300.0
# Shorter values may be a code, a count or an ordinary word of the text.
_SHORTEST_IN_TEXT, _SHORTEST_IN_BODY = 4, 8

# Characters allowed in a header value: a line break would start another header.
_SENDABLE = re.compile(r"[\x21-\x7e]+")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class BodyCredentials(NamedTuple):
    """The members of a request body that identify the caller."""

    operator: int | None = None
    token: int | None = None
    site_code: str | None = None

    def __repr__(self) -> str:
        """Show nothing: these are secrets."""
        return "<BodyCredentials>"


class SecretRedactor:
    """Removes our own secrets from responses that echo them, before they are stored or shown."""

    def __init__(self, values: Iterable[str]) -> None:
        listed = sorted({value for value in values if value}, key=len, reverse=True)
        self._in_texts = [
            re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
            for value in listed
            if len(value) >= _SHORTEST_IN_TEXT
        ]
        # A number or a short word may be the value of a row, which must not change.
        self._in_bodies = [
            value.encode()
            for value in listed
            if len(value) >= _SHORTEST_IN_BODY and not value.isdigit()
        ]

    def __repr__(self) -> str:
        """Show nothing: these are secrets."""
        return "<SecretRedactor>"

    def redact_text(self, text: str) -> str:
        """Return the text of a message without the secrets."""
        for pattern in self._in_texts:
            text = pattern.sub("[secret]", text)
        return text

    def redact_body(self, body: bytes) -> bytes:
        """Return a response body without the secrets; numbers stay, as a row may hold the same."""
        for value in self._in_bodies:
            if value in body:
                body = body.replace(value, b"[secret]")
        return body


@dataclass(frozen=True, repr=False)
class Credentials:
    """What one request carries.

    authorization: the header's value, None without a login. renew_at: by the monotonic clock.
    """

    body: BodyCredentials
    authorization: str | None = None
    renew_at: float = float("inf")
    refresh_token: str | None = None

    @cached_property
    def redactor(self) -> SecretRedactor:
        """Removes these credentials from a response."""
        bearer = (self.authorization or "").removeprefix("Bearer ")
        token = "" if self.body.token is None else str(self.body.token)
        return SecretRedactor((bearer, self.refresh_token or "", self.body.site_code or "", token))

    def sign(self, request: Request) -> Request:
        """Return the request with the credentials in those members that are not set."""
        body = self.body
        return msgspec.structs.replace(
            request,
            Operator=body.operator if request.Operator is None else request.Operator,
            Token=body.token if request.Token is None else request.Token,
            SiteCode=body.site_code if request.SiteCode is None else request.SiteCode,
        )


@dataclass(frozen=True, repr=False)
class Login:
    """User and password of ManagerLogin."""

    username: str
    password: str


def read_login(body: BodyCredentials, response: HttpResponse, clock: Clock) -> Credentials:
    """Parse the response of a login; raises MalformedError.

    Only the access_token is required. Any other member that cannot be read is ignored.
    """
    try:
        login = _MEMBERS.decode(to_utf8(response.body, response.content_type))
    except (*READ_ERRORS, CharsetError):
        raise MalformedError("the login returned something other than JSON") from None
    token = _read_member(login, "access_token", str)
    if not token:
        raise MalformedError("the login returned no access_token")
    if not _SENDABLE.fullmatch(token):
        raise MalformedError("the access_token of the login cannot be sent in a header")
    claims = _read_claims(token)
    if body.token is None:
        body = body._replace(token=_read_member(claims, "token", Int64))
    expires_in = _read_member(login, "expires_in", float)
    ends_at = _read_member(claims, "exp", float)
    lives = (expires_in, None if ends_at is None else ends_at - clock.wall())
    # An expiry in the past is ignored: the clocks differ.
    life = min((life for life in lives if life is not None and life > 0), default=DEFAULT_LIFETIME)
    renew_at = clock.monotonic() + life - min(RENEWAL_MARGIN, life / 5)
    refresh_token = _read_member(login, "refresh_token", str)
    return Credentials(body, f"Bearer {token}", renew_at, refresh_token)


def _read_claims(token: str) -> dict[str, msgspec.Raw]:
    """Read a JWT's claims without verifying it; an opaque token has no claims."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        return _MEMBERS.decode(urlsafe_b64decode(padded))
    except (ValueError, *READ_ERRORS):
        return {}


def _read_member(members: dict[str, msgspec.Raw], name: str, kind: type[ValueT]) -> ValueT | None:
    """Decode a member as a type; None when it is absent or does not fit."""
    try:
        return msgspec.json.decode(members[name], type=kind, strict=False)
    except (KeyError, *READ_ERRORS):
        return None
