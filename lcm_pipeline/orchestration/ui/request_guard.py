"""ASGI middleware that protects Dagster's web page, which itself accepts any request.

Dagster's GraphQL executes mutations sent by GET and by forms, for any Host and any Origin: a page
on the internet, or another user of the machine, could start the write-back. The guard accepts
requests for a known host only, none from another site, and mutations only with the token that `lcm
ui` prints. The token is in the printed link, and then in a cookie of the browser. Without it the
pages are read-only.
"""

import json
from hmac import compare_digest
from urllib.parse import urlencode

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

COOKIE = "lcm_ui"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OUR_SITE = frozenset({"same-origin", "none"})
_LARGEST_BODY = 16_000_000
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class RequestGuard:
    """An ASGI application that passes acceptable requests on to another one.

    hosts: allowed names in the Host header, without a port, besides those of loopback. token:
    allows a request to change something; None makes the page read-only.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], token: str | None) -> None:
        self._app = app
        self._hosts = hosts | _LOOPBACK
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or respond with 403 and the reason."""
        respond = self._app
        if scope["type"] == "http":
            respond = await self._choose_response(Request(scope, receive))
        elif scope["type"] == "websocket" and (
            reason := self._reason_to_refuse(HTTPConnection(scope))
        ):
            # One that is accepted is passed on: Dagster executes subscriptions on it, no mutation.
            respond = WebSocketClose(1008, reason)
        await respond(scope, receive, send)

    async def _choose_response(self, request: Request) -> ASGIApp:
        """What responds to a request: the application, or the guard itself."""
        if reason := self._reason_to_refuse(request):
            return _refusal(reason)
        if (target := self._link_target(request)) is not None:
            response = RedirectResponse(target, 303, {"referrer-policy": "no-referrer"})
            response.set_cookie(COOKIE, self._token or "", httponly=True, samesite="strict")
            return response
        is_graphql = _is_graphql(request)
        if request.method in _SAFE_METHODS:
            if is_graphql and _is_change("".join(request.query_params.getlist("query"))):
                # Not even with the token: the browser also sends GET for images and prefetches.
                return _refusal("a GET changes nothing")
            return self._app
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._is_token(bearer) or self._is_token(request.cookies.get(COOKIE, "")):
            return self._app
        body = await _read_body(request) if is_graphql else None
        if body is None or _holds_change(body, request.headers.get("content-type", "")):
            advice = " until it is opened by the link that lcm ui prints" if self._token else ""
            return _refusal(f"this page is read-only{advice}")
        return _replaying(self._app, body)

    def _reason_to_refuse(self, request: HTTPConnection) -> str | None:
        """Why the request does not come from our own page; None when it does."""
        host = request.headers.get("host", "")
        name, colon, port = host.rpartition(":")
        if (name if colon and port.isdigit() else host).lower() not in self._hosts:
            return f"the host {host[:80]!r} is not allowed: lcm ui --allow-host NAME allows it"
        # An origin is a scheme and a host; compared as a text, as a malformed one has no parts.
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return "the request comes from another site"
        is_page = (
            request["type"] == "http"
            and request["method"] in _SAFE_METHODS
            and request.headers.get("sec-fetch-mode") == "navigate"
            and not _is_graphql(request)
        )
        site = request.headers.get("sec-fetch-site", "none")
        # A link on another page may open this one; embedded content may not request it.
        return None if is_page or site in _OUR_SITE else "the request comes from another site"

    def _is_token(self, text: str) -> bool:
        return self._token is not None and compare_digest(text.encode(), self._token.encode())

    def _link_target(self, request: Request) -> str | None:
        """The target of the printed link without its token; None for other requests."""
        if request.method != "GET" or not self._is_token(request.query_params.get("token", "")):
            return None
        items = request.query_params.multi_items()
        rest = urlencode([item for item in items if item[0] != "token"])
        # A path that begins with two slashes would redirect to another site.
        path = "/" + request["path"].lstrip("/")
        return f"{path}?{rest}" if rest else path


def _is_graphql(request: HTTPConnection) -> bool:
    path: str = request["path"]
    return path.rstrip("/").endswith("/graphql")


def _holds_change(body: bytes, content_type: str) -> bool:
    """Whether a GraphQL request is more than queries; an unreadable one counts as a change."""
    if not content_type.startswith("application/json"):
        return True
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return True
    requests = given if isinstance(given, list) else [given]
    documents = [
        request.get("query") if isinstance(request, dict) else None for request in requests
    ]
    return any(not isinstance(text, str) or _is_change(text) for text in documents)


def _is_change(document: str) -> bool:
    if not document:
        return False
    try:
        definitions = parse(document, no_location=True).definitions
    except (GraphQLError, RecursionError):
        return True
    return any(
        isinstance(definition, OperationDefinitionNode)
        and definition.operation is not OperationType.QUERY
        for definition in definitions
    )


async def _read_body(request: Request) -> bytes | None:
    """The whole body; None if it is larger than any query, or the client disconnected."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                return None
    except ClientDisconnect:
        return None
    return body


def _replaying(app: ASGIApp, body: bytes) -> ASGIApp:
    """The application, which is given a body that was already read, then further messages."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return read.pop() if read else await receive()

        await app(scope, replay, send)

    return respond


def _refusal(reason: str) -> Response:
    return PlainTextResponse(f"{reason}\n", 403)
