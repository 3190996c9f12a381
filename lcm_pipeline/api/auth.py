"""Authentication: credentials in every request body, and the bearer token of ManagerLogin.

There are two kinds, and both may be needed: an integer Token in the body, and a JWT in the header.
The JWT has a claim `token`, which becomes the body's Token when none is configured. A
refresh token works once and not after a server restart, so a failed refresh is followed by a login
with the password. A refused password is not tried again: that would lock the account.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import httpx

from lcm_pipeline.api.credentials import BodyCredentials, Credentials, Login, read_login
from lcm_pipeline.api.errors import LoginError, LoyaltyApiError, TransientError
from lcm_pipeline.api.responses import check_status
from lcm_pipeline.api.retries import Retrier
from lcm_pipeline.api.transport import HttpResponse

_LOGIN_PATH = "ManagerLogin"

_LOGIN_HEADERS = httpx.Headers(
    {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/x-www-form-urlencoded",
    }
)

# Arguments: the name of the call in errors, path, headers, body, and the parser of the response.
Send = Callable[
    [str, str, httpx.Headers, bytes, Callable[[HttpResponse], Credentials]], Awaitable[Credentials]
]


class Authenticator:
    """Holds valid credentials; concurrent callers share one login."""

    def __init__(
        self, body: BodyCredentials, login: Login | None, *, send: Send, retrier: Retrier
    ) -> None:
        self._body = body
        self._login = login
        self._send = send
        self._retrier = retrier
        self._clock = retrier.clock
        self._rejection: LoginError | None = None
        self._renewal: asyncio.Task[Credentials] | None = None
        self._credentials = Credentials(body)
        self._is_valid = login is None

    def __repr__(self) -> str:
        """Whether there is a login, without the credentials."""
        return f"<Authenticator {'with' if self._login else 'without'} login>"

    async def current(self) -> Credentials:
        """Return valid credentials, after a login if needed; raises LoyaltyApiError."""
        if self._is_valid and self._clock.monotonic() < self._credentials.renew_at:
            return self._credentials
        if self._rejection is not None:
            raise LoginError(self._rejection.reason, self._rejection.call_name)
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(self._renewal_done)
        # A cancelled caller must not cancel the login that others wait for.
        return await asyncio.shield(self._renewal)

    def invalidate(self, credentials: Credentials) -> None:
        """Discard credentials that got HTTP 401, unless they have already been replaced."""
        if self._login is not None and credentials is self._credentials:
            self._is_valid = False

    async def aclose(self) -> None:
        """Cancel a login in progress."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    def _renewal_done(self, task: asyncio.Task[Credentials]) -> None:
        self._renewal = None
        if not task.cancelled():
            task.exception()  # marks it as retrieved: the callers that awaited it raised it

    async def _renew(self) -> Credentials:
        refresh_token = self._credentials.refresh_token
        credentials = await self._refresh(refresh_token) if refresh_token else None
        if credentials is None:
            form = {"grant_type": "password"}
            if self._login is not None:
                form |= {"username": self._login.username, "password": self._login.password}
            try:
                credentials = await self._retrier.run(lambda: self._request_token(form))
            except LoginError as error:
                self._rejection = error
                raise
        self._credentials, self._is_valid = credentials, True
        return credentials

    async def _refresh(self, refresh_token: str) -> Credentials | None:
        """Log in with the refresh token, which works once; None when the password is needed."""
        # Discard it first: it is spent even when the response is lost.
        self._credentials = Credentials(self._body)
        self._is_valid = False
        try:
            return await self._request_token(
                {"grant_type": "refresh_token", "refresh_token": refresh_token}
            )
        except (LoginError, TransientError):
            # Spent, expired, or lost in a restart of the server: the password is next.
            return None

    async def _request_token(self, form: dict[str, str]) -> Credentials:
        call_name = f"{_LOGIN_PATH} ({form['grant_type']})"

        def parse(response: HttpResponse) -> Credentials:
            check_status(response, self._clock.wall())
            return read_login(self._body, response, self._clock)

        try:
            body = urlencode(form).encode()
            return await self._send(call_name, _LOGIN_PATH, _LOGIN_HEADERS, body, parse)
        except TransientError as error:
            # The call that waits for this login was not sent, so even a write may be retried.
            error.never_sent = True
            raise
        except LoyaltyApiError as error:
            raise LoginError(error.reason, call_name) from None
