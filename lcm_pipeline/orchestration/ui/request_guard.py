"""ASGI middleware that protects Dagster's web page, which itself accepts any request.

Dagster's GraphQL executes mutations sent by GET and by forms, for any Host and any Origin: a page
on the internet, or another user of the machine, could start the write-back. The guard accepts
requests for a known host only, none from another site, and mutations only with the token that `lcm
ui` prints. The token is in the printed link, and then in a cookie of the browser. Without it the
pages are read-only.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

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

    def __init__(self, app: Asgi, *, hosts: frozenset[str], token: str | None) -> None:
        self._app = app
        self._hosts = hosts | _LOOPBACK
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or respond with 403 and the reason."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        if reason := self._reason_to_refuse(scope, headers):
            await _refuse(scope, receive, send, reason)
        elif scope["type"] == "websocket":
            # Dagster executes subscriptions on a socket, and no mutation.
            await self._app(scope, receive, send)
        elif (target := self._link_target(scope)) is not None:
            await self._set_cookie(send, target)
        else:
            await self._pass_on(scope, receive, send, may_change=self._has_token(headers))

    def _reason_to_refuse(self, scope: Scope, headers: Mapping[str, str]) -> str | None:
        """Why the request does not come from our own page; None when it does."""
        host = headers.get("host", "")
        if _without_port(host) not in self._hosts:
            return f"the host {host[:80]!r} is not allowed: lcm ui --allow-host NAME allows it"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "the request comes from another site"
        is_page = (
            scope["type"] == "http"
            and scope["method"] in _SAFE_METHODS
            and headers.get("sec-fetch-mode") == "navigate"
            and scope["path"] != "/graphql"
        )
        site = headers.get("sec-fetch-site", "none")
        # A link on another page may open this one; embedded content may not request it.
        return None if is_page or site in _OUR_SITE else "the request comes from another site"

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        if self._token is None:
            return False
        given = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        return any(
            compare_digest(token.encode(), self._token.encode())
            for token in (given, cookie.value if cookie else "")
        )

    def _link_target(self, scope: Scope) -> str | None:
        """The target of the printed link without its token; None for other requests."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"))
        given = dict(pairs).get("token")
        if self._token is None or given is None or scope["method"] != "GET":
            return None
        if not compare_digest(given.encode(), self._token.encode()):
            return None
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        # A path that begins with two slashes would redirect to another site.
        path = "/" + scope["path"].lstrip("/")
        return f"{path}?{rest}" if rest else path

    async def _set_cookie(self, send: Send, target: str) -> None:
        cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        headers = [
            (b"location", target.encode("latin-1", "replace")),
            (b"set-cookie", cookie.encode()),
            (b"referrer-policy", b"no-referrer"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, *, may_change: bool
    ) -> None:
        is_graphql = scope["path"].rstrip("/").endswith("/graphql")
        if scope["method"] in _SAFE_METHODS:
            query = scope["query_string"].decode("latin-1")
            if is_graphql and _is_change("".join(parse_qs(query).get("query", []))):
                # Not even with the token: the browser also sends GET for images and prefetches.
                await _refuse(scope, receive, send, "a GET changes nothing")
                return
            await self._app(scope, receive, send)
        elif may_change:
            await self._app(scope, receive, send)
        elif not is_graphql:
            await _refuse(scope, receive, send, self._advice())
        else:
            body = await _read_body(receive)
            if body is None or _holds_change(body, _headers(scope).get("content-type", "")):
                await _refuse(scope, receive, send, self._advice())
                return
            await self._app(scope, _replay(body, receive), send)

    def _advice(self) -> str:
        if self._token is None:
            return "this page is read-only"
        return "this page is read-only until it is opened by the link that lcm ui prints"


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]}  # fmt: skip


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()


def _holds_change(body: bytes, content_type: str) -> bool:
    """Whether a GraphQL request is more than queries; an unreadable one counts as a change."""
    if not content_type.startswith("application/json"):
        return True
    try:
        given = json.loads(body)
    except ValueError:
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
    except GraphQLError:
        return True
    return any(
        isinstance(definition, OperationDefinitionNode)
        and definition.operation is not OperationType.QUERY
        for definition in definitions
    )


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None if it is larger than any query, or the client disconnected."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > _LARGEST_BODY:
            return None
        if not message.get("more_body"):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive function that returns a body that was already read, then further messages."""
    is_replayed = False

    async def replay() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(scope: Scope, receive: Receive, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    body = f"{reason}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
