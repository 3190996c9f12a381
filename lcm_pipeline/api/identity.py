"""Who we are to the service: the members in every body, and the bearer of ManagerLogin.

Two identities exist and may be needed together: an integer Token in the body, and a JWT in the
header. The JWT carries a claim `token`, which is the body's Token when none
is configured; and a refresh token works once and not after a server restart, so the password is
always the second try. A refused password is not tried again: that would lock the account.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import httpx

from lcm_pipeline.api.credentials import BodyIdentity, Credentials, Login, read_login
from lcm_pipeline.api.errors import (
    IdentityError,
    LoyaltyApiError,
    TransientError,
)
from lcm_pipeline.api.responses import check_status
from lcm_pipeline.api.retries import Retrier
from lcm_pipeline.api.transport import HttpResponse

LOGIN_PATH = "ManagerLogin"

_LOGIN_HEADERS = httpx.Headers(
    {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/x-www-form-urlencoded",
    }
)

# Headers, body, what the reply is opened with, and the name of the call in an error.
SendLogin = Callable[
    [httpx.Headers, bytes, Callable[[HttpResponse], Credentials], str], Awaitable[Credentials]
]


class Identity:
    """Keeps valid credentials; one login serves everyone who waits for it."""

    def __init__(
        self, body: BodyIdentity, login: Login | None, *, send: SendLogin, retrier: Retrier
    ) -> None:
        self._body = body
        self._login = login
        self._send = send
        self._retrier = retrier
        self._clock = retrier.clock
        self._refused: IdentityError | None = None
        self._renewal: asyncio.Task[Credentials] | None = None
        self._credentials = Credentials(body)
        self._is_valid = login is None

    def __repr__(self) -> str:
        """How we identify, without the credentials."""
        return f"<Identity {'with' if self._login else 'without'} login>"

    async def current(self) -> Credentials:
        """Return valid credentials, after a login where it is needed."""
        if self._is_valid and self._clock.monotonic() < self._credentials.renew_at:
            return self._credentials
        if self._refused is not None:
            raise IdentityError(self._refused.call_name, self._refused.answered)
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(self._renewal_done)
        return await asyncio.shield(self._renewal)

    def refuse(self, credentials: Credentials) -> None:
        """Forget credentials that the server answered 401 to, unless they are replaced already."""
        if self._login is not None and credentials is self._credentials:
            self._is_valid = False

    async def aclose(self) -> None:
        """Stop a login under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    def _renewal_done(self, task: asyncio.Task[Credentials]) -> None:
        self._renewal = None
        if not task.cancelled():
            task.exception()  # marked as seen: those who waited for it have raised it

    async def _renew(self) -> Credentials:
        refresh_token = self._credentials.refresh_token
        credentials = await self._refresh(refresh_token) if refresh_token else None
        if credentials is None:
            try:
                credentials = await self._log_in_with_password()
            except IdentityError as error:
                self._refused = error
                raise
        self._credentials, self._is_valid = credentials, True
        return credentials

    async def _refresh(self, refresh_token: str) -> Credentials | None:
        """Use up the refresh token; None means that the password is needed."""
        # Whatever comes of it, it is spent: it must not be tried a second time.
        self._credentials = Credentials(self._body)
        self._is_valid = False
        try:
            return await self._ask({"grant_type": "refresh_token", "refresh_token": refresh_token})
        except (IdentityError, TransientError):
            return None

    async def _log_in_with_password(self) -> Credentials:
        form = {"grant_type": "password"}
        if self._login is not None:
            form |= {"username": self._login.username, "password": self._login.password}
        return await self._retrier.run(lambda: self._ask(form))

    async def _ask(self, form: dict[str, str]) -> Credentials:
        call_name = f"{LOGIN_PATH} ({form['grant_type']})"

        def open_reply(reply: HttpResponse) -> Credentials:
            check_status(reply, call_name, self._clock.wall())
            return read_login(self._body, reply, call_name=call_name, clock=self._clock)

        try:
            return await self._send(_LOGIN_HEADERS, urlencode(form).encode(), open_reply, call_name)
        except TransientError as error:
            # The call that waits for this login has not gone out.
            error.never_sent = True
            raise
        except LoyaltyApiError as error:
            raise IdentityError(call_name, error.answered) from None
