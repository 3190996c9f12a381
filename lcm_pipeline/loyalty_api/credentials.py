"""What a request carries to say who asks, and how a login's answer becomes that.

Nothing here is shown by repr: these are secrets. The surprising fact: the end that a bearer names
may lie in the past, for the server's clock and ours differ; such an end says nothing.
"""

from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from lcm_pipeline.loyalty_api.errors import MalformedError
from lcm_pipeline.loyalty_api.retries import Clock
from lcm_pipeline.model.payloads import Request

# A bearer is renewed this long before it ends, or at a fifth of a short life.
RENEWAL_MARGIN = 60.0
UNKNOWN_LIFE = 300.0


class BodyIdentity(NamedTuple):
    """The members that say in a body who asks."""

    operator: int | None = None
    token: int | None = None
    site_code: str | None = None

    def __repr__(self) -> str:
        """Show nothing: these are secrets."""
        return "<BodyIdentity>"


@dataclass(frozen=True, repr=False)
class Credentials:
    """What one request carries; `authorization` is None without a login."""

    body: BodyIdentity
    authorization: str | None = None
    renew_at: float = float("inf")
    refresh_token: str | None = None

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


class _LoginAnswer(msgspec.Struct):
    access_token: str | None = None
    expires_in: float | None = None
    refresh_token: str | None = None


class _Claims(msgspec.Struct):
    exp: float | None = None
    token: int | str | None = None


def read_login(body: BodyIdentity, answer: bytes, *, asked: str, clock: Clock) -> Credentials:
    """Turn the answer of a login into credentials."""
    try:
        login = msgspec.json.decode(answer, type=_LoginAnswer, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise MalformedError(asked, "the login answered something other than JSON") from None
    if not login.access_token:
        raise MalformedError(asked, "the login answered without an access_token")
    claims = _read_claims(login.access_token)
    if body.token is None and claims.token is not None:
        body = body._replace(token=_whole_number(claims.token))
    return Credentials(
        body,
        f"Bearer {login.access_token}",
        clock.monotonic() + _useful_life(login, claims, clock.wall()),
        login.refresh_token,
    )


def _useful_life(login: _LoginAnswer, claims: _Claims, now: float) -> float:
    lives = [login.expires_in, None if claims.exp is None else claims.exp - now]
    life = min((life for life in lives if life is not None and life > 0), default=UNKNOWN_LIFE)
    return life - min(RENEWAL_MARGIN, life / 5)


def _read_claims(token: str) -> _Claims:
    """Read a JWT's claims, unverified; a token that is none has no claims."""
    parts = token.split(".")
    if len(parts) != 3:
        return _Claims()
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        return msgspec.json.decode(urlsafe_b64decode(padded), type=_Claims, strict=False)
    except (ValueError, msgspec.MsgspecError):
        return _Claims()


def _whole_number(value: int | str) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None
