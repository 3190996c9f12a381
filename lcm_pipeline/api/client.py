"""One call, from a request to a checked response.

Combines authentication, format, limits, retries and transport in the only order that works: a
login is done before the call takes a slot (if calls held all slots, the login's own request would
wait for ever), and a response is decoded after its slot is released.

`_exchange` is the boundary for every response, including a login's: it returns the parsed response
or raises LoyaltyApiError, whatever the HTTP library, a codec or a decoder raised on the bytes.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from lcm_pipeline.api.auth import Authenticator
from lcm_pipeline.api.clocks import SYSTEM_CLOCK, Clock
from lcm_pipeline.api.credentials import BodyCredentials, Credentials, Login
from lcm_pipeline.api.errors import (
    AuthenticationError,
    LoyaltyApiError,
    MalformedError,
    TransientError,
    TransportError,
)
from lcm_pipeline.api.formats import FORMATS, WireFormat
from lcm_pipeline.api.rate_limit import RequestGate
from lcm_pipeline.api.requests import check_request, describe
from lcm_pipeline.api.responses import parse_response
from lcm_pipeline.api.retries import RequestCounts, Retrier, RetryPolicy
from lcm_pipeline.api.transport import MEGABYTE, HttpResponse, Transport, open_transport
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.payloads import Request, Response
from lcm_pipeline.model.unexpected import UnexpectedErrorLog
from lcm_pipeline.settings import Settings

RequestT = TypeVar("RequestT", bound=Request)
ResponseT = TypeVar("ResponseT", bound=Response)
ParsedT = TypeVar("ParsedT")

DEFAULT_POLICY = RetryPolicy()

# A call may spend this many time-outs: one retry makes up for a lost packet or connection, and a
# third time-out would only keep the slot busy.
_TIMEOUTS_PER_CALL = 2

logger = logging.getLogger(__name__)


class LoyaltyApi:
    """Client of the service at one address, for one user. Use it as an async context manager.

    gate: what each of its requests passes, also those of logins and retries.
    """

    def __init__(
        self,
        wire: Transport,
        wire_format: WireFormat,
        gate: RequestGate,
        *,
        retrier: Retrier,
        body: BodyCredentials,
        login: Login | None,
    ) -> None:
        self.harmless_messages: set[tuple[str, str]] = set()
        self._wire = wire
        self._format = wire_format
        self.gate = gate
        self._retrier = retrier
        self._body = body
        self._login = login
        self._authenticator = Authenticator(body, login, send=self._exchange, retrier=retrier)
        self._is_sibling = False
        self._unexpected = UnexpectedErrorLog(logger, logging.WARNING)
        self._headers: tuple[str | None, httpx.Headers] = (None, self._build_headers(None))

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        policy: RetryPolicy = DEFAULT_POLICY,
        clock: Clock = SYSTEM_CLOCK,
    ) -> Self:
        """Create a client from the settings; `transport` replaces the network in tests."""
        base_url = settings.required_api_url()
        gate = RequestGate(settings.concurrency, settings.max_rps, clock)
        if transport is None:
            transport = open_transport(
                settings.concurrency,
                gate.record_connected if settings.max_rps else None,
                proxy=settings.proxy(),
                ca_file=settings.ca_file,
            )
        wire = Transport(base_url, settings.timeout, transport, settings.max_answer_mb * MEGABYTE)
        budget = _TIMEOUTS_PER_CALL * settings.timeout
        retrier = Retrier(policy, clock, RequestCounts(), gate.cool_down, budget)
        token, site_code = settings.token, settings.site_code
        body = BodyCredentials(
            operator=settings.operator,
            token=None if token is None else int(token.get_secret_value()),
            site_code=None if site_code is None else site_code.get_secret_value(),
        )
        login = None
        if settings.username is not None and settings.password is not None:
            login = Login(settings.username, settings.password.get_secret_value())
        wire_format = FORMATS[settings.api_format]
        return cls(wire, wire_format, gate, retrier=retrier, body=body, login=login)

    @property
    def counts(self) -> RequestCounts:
        """Requests and retries so far, also those of logins."""
        return self._retrier.counts

    @property
    def clock_ahead(self) -> float:
        """Seconds by which the service's clock is ahead of ours, by its last response."""
        return self._wire.clock_ahead

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def sibling(self) -> Self:
        """Return a client with the same connections and limits, but its own counts and login.

        Closing it leaves the connections open.
        """
        other = self._with_retrier(counts=RequestCounts())
        other._authenticator = Authenticator(
            self._body, self._login, send=other._exchange, retrier=other._retrier
        )
        other._is_sibling = True
        return other

    def with_attempts(self, attempts: int) -> Self:
        """Return a copy with the same counts and login, and another number of attempts per call."""
        return self._with_retrier(policy=replace(self._retrier.policy, attempts=attempts))

    def giving_up(self, when: Callable[[TransientError], bool]) -> Self:
        """Return a copy with the same counts and login, whose calls end with an error of a kind.

        when: whether an error, with its `attempts` so far, ends the call.
        """
        return self._with_retrier(gives_up=when)

    def _with_retrier(self, **changes: Any) -> Self:
        other = copy(self)
        other._retrier = replace(self._retrier, **changes)
        return other

    async def aclose(self) -> None:
        """Close the connections."""
        await self._authenticator.aclose()
        if not self._is_sibling:
            await self._wire.aclose()

    async def call(self, endpoint: Endpoint[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Call the endpoint, with retries, and return a complete response with ErrorCode 0.

        Raises LoyaltyApiError: the last one, when the attempts are used up.
        """
        check_request(endpoint, request)
        return await self._retrier.run(
            lambda: self._call_with_login(endpoint, request), repeatable=endpoint.repeatable
        )

    async def _call_with_login(
        self, endpoint: Endpoint[RequestT, ResponseT], request: RequestT
    ) -> ResponseT:
        """Send the request once, and once more with a new login after HTTP 401.

        A token may be revoked before it expires; the second 401 is an error.
        """
        credentials = await self._authenticator.current()
        try:
            return await self._send(endpoint, request, credentials)
        except AuthenticationError:
            self._authenticator.invalidate(credentials)
            self._retrier.counts.retries += 1
        credentials = await self._authenticator.current()
        return await self._send(endpoint, request, credentials)

    async def _send(
        self, endpoint: Endpoint[RequestT, ResponseT], request: RequestT, credentials: Credentials
    ) -> ResponseT:
        body = self._format.encode(endpoint, credentials.sign(request))
        if self._headers[0] != credentials.authorization:
            authorization = credentials.authorization
            self._headers = (authorization, self._build_headers(authorization))

        def parse(response: HttpResponse) -> ResponseT:
            now = self._retrier.clock.wall()
            response = response._replace(body=credentials.redactor.redact_body(response.body))
            return parse_response(endpoint, request, response, now)

        try:
            return await self._exchange(
                describe(endpoint, request), endpoint.path, self._headers[1], body, parse
            )
        except LoyaltyApiError as error:
            error.reason = credentials.redactor.redact_text(error.reason)
            error.args = (error.reason,)
            raise

    async def _exchange(
        self,
        call_name: str,
        path: str,
        headers: httpx.Headers,
        body: bytes,
        parse: Callable[[HttpResponse], ParsedT],
    ) -> ParsedT:
        """Send one request and parse its response; raises only LoyaltyApiError, with the name."""
        seconds = 0.0
        try:
            async with self.gate:
                self._retrier.counts.requests += 1
                began = self._retrier.clock.monotonic()
                try:
                    with self._wrap_unexpected_errors(TransportError, call_name):
                        response = await self._wire.post(path, headers, body)
                finally:
                    seconds = self._retrier.clock.monotonic() - began
            # The slot is free now, and decoding takes long: let the next request leave first.
            await self.gate.yield_to_waiting()
            with self._wrap_unexpected_errors(MalformedError, call_name):
                return parse(response)
        except LoyaltyApiError as error:
            error.call_name = call_name
            if isinstance(error, TransientError):
                error.seconds = seconds
            raise

    @contextmanager
    def _wrap_unexpected_errors(
        self, kind: type[TransportError | MalformedError], call_name: str
    ) -> Iterator[None]:
        """Turn an unexpected exception into an error of this call, so that only this call fails."""
        try:
            yield
        except LoyaltyApiError:
            raise
        except Exception as error:  # noqa: BLE001 - hostile bytes may raise anything
            self._unexpected.record(call_name, error)
            raise kind(f"the response cannot be read ({type(error).__name__})") from None

    def _build_headers(self, authorization: str | None) -> httpx.Headers:
        headers = httpx.Headers(
            {
                "Accept": self._format.accept,
                "Accept-Encoding": "gzip, deflate",
                "Content-Type": self._format.content_type,
                "User-Agent": "lcm-pipeline",
            }
        )
        if authorization is not None:
            headers["Authorization"] = authorization
        return headers
