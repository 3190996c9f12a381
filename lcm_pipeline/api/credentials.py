"""What a request carries to say who asks, and how a login's answer becomes that.

Nothing here is shown by repr: these are secrets.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import msgspec

from lcm_pipeline.api.charsets import CharsetError, to_utf8
from lcm_pipeline.api.errors import MalformedError
from lcm_pipeline.api.retries import Clock
from lcm_pipeline.api.transport import HttpResponse
from lcm_pipeline.model.payloads import READ_ERRORS, Int64, Request

ValueT = TypeVar("ValueT")

# A bearer is renewed this long before it ends, or at a fifth of a short life.
RENEWAL_MARGIN = 60.0
UNKNOWN_LIFE = 300.0
# What is shorter may be a code, a count or a word of its own.
_SHORTEST_IN_TEXT, _SHORTEST_IN_BODY = 4, 8

# What a header can carry: a line break in it would begin another header.
_SENDABLE = re.compile(r"[\x21-\x7e]+")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class BodyIdentity(NamedTuple):
    """The members that say in a body who asks."""

    operator: int | None = None
    token: int | None = None
    site_code: str | None = None

    def __repr__(self) -> str:
        """Show nothing: these are secrets."""
        return "<BodyIdentity>"


class OwnSecrets:
    """Finds secrets of ours that a response sends back, before they are stored or shown."""

    def __init__(self, values: Iterable[str]) -> None:
        listed = sorted({value for value in values if value}, key=len, reverse=True)
        self._in_texts = [
            re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
            for value in listed
            if len(value) >= _SHORTEST_IN_TEXT
        ]
        # A number, or a short word, may be a value of a row.
        self._in_bodies = [
            value.encode()
            for value in listed
            if len(value) >= _SHORTEST_IN_BODY and not value.isdigit()
        ]

    def __repr__(self) -> str:
        """Show nothing: these are secrets."""
        return "<OwnSecrets>"

    def cut_from_text(self, text: str) -> str:
        """The text of a message without them."""
        for pattern in self._in_texts:
            text = pattern.sub("[secret]", text)
        return text

    def cut_from_body(self, body: bytes) -> bytes:
        """The body of a response without them; numbers stay, as a row may hold the same."""
        for value in self._in_bodies:
            if value in body:
                body = body.replace(value, b"[secret]")
        return body


@dataclass(frozen=True, repr=False)
class Credentials:
    """What one request carries; `authorization` is None without a login."""

    body: BodyIdentity
    authorization: str | None = None
    renew_at: float = float("inf")
    refresh_token: str | None = None

    @cached_property
    def own_secrets(self) -> OwnSecrets:
        """What a response must not send back into the warehouse or a message."""
        bearer = (self.authorization or "").removeprefix("Bearer ")
        token = "" if self.body.token is None else str(self.body.token)
        return OwnSecrets((bearer, self.refresh_token or "", self.body.site_code or "", token))

    def sign(self, request: Request) -> Request:
        """Return the request with the identity in the members that it left unset."""
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


def read_login(
    body: BodyIdentity, reply: HttpResponse, *, call_name: str, clock: Clock
) -> Credentials:
    """Turn the answer of a login into credentials; raises MalformedError.

    Only the access_token has to fit: what cannot be read of the rest says nothing.
    """
    try:
        login = _MEMBERS.decode(to_utf8(reply.body, reply.content_type))
    except (*READ_ERRORS, CharsetError):
        raise MalformedError(call_name, "the login returned something other than JSON") from None
    token = _read(login, "access_token", str)
    if not token:
        raise MalformedError(call_name, "the login returned no access_token")
    if not _SENDABLE.fullmatch(token):
        raise MalformedError(call_name, "the access_token of the login cannot be sent in a header")
    claims = _read_claims(token)
    if body.token is None:
        body = body._replace(token=_read(claims, "token", Int64))
    life = _useful_life(
        _read(login, "expires_in", float), _read(claims, "exp", float), clock.wall()
    )
    refresh_token = _read(login, "refresh_token", str)
    return Credentials(body, f"Bearer {token}", clock.monotonic() + life, refresh_token)


def _useful_life(expires_in: float | None, ends_at: float | None, now: float) -> float:
    """Seconds until the renewal. An end in the past says nothing: the two clocks differ."""
    lives = [expires_in, None if ends_at is None else ends_at - now]
    life = min((life for life in lives if life is not None and life > 0), default=UNKNOWN_LIFE)
    return life - min(RENEWAL_MARGIN, life / 5)


def _read_claims(token: str) -> dict[str, msgspec.Raw]:
    """Read a JWT's claims, unverified; a token that is none has no claims."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        return _MEMBERS.decode(urlsafe_b64decode(padded))
    except (ValueError, *READ_ERRORS):
        return {}


def _read(members: dict[str, msgspec.Raw], name: str, kind: type[ValueT]) -> ValueT | None:
    """Read a member as its type; None where it is absent or does not fit."""
    try:
        return msgspec.json.decode(members[name], type=kind, strict=False)
    except (KeyError, *READ_ERRORS):
        return None
