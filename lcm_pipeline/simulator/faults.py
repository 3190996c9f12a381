"""Injected failures: which call fails, and how.

A rule counts the calls of its endpoint and client since it was set. The first rule that is due
applies. A kind of fault affects the connection, replaces the response, or changes the rows or the
bytes of the response.
"""

from collections import Counter
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

from lcm_pipeline.simulator.endpoints import ENDPOINTS, Endpoint
from lcm_pipeline.simulator.fields import Fields
from lcm_pipeline.simulator.quirks import Positive, Share
from lcm_pipeline.simulator.replies import AN_ERROR, DENIED, HTML_TYPE, Reply, message_reply

LOGIN = "ManagerLogin"
ON_CONNECTION = frozenset(("timeout", "reset", "disconnect"))
_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
_TIMEOUT = (
    "Timeout expired.  The timeout period elapsed prior to completion of the operation "
    "or the server is not responding."
)
_DEADLOCK = (
    "Transaction (Process ID 61) was deadlocked on lock resources with another process "
    "and has been chosen as the deadlock victim. Rerun the transaction."
)
_OTHER = "Object reference not set to an instance of an object."
_PARTLY = "Не удалось получить часть записей"
# What happens to the call, by kind: `lcm simulate --help` lists them.
FAULTS: dict[str, str] = {
    "timeout": "no response for `seconds`",
    "reset": "the connection is reset",
    "disconnect": "the connection is closed without a response",
    "too_many_requests": "HTTP 429, with Retry-After where `retry_after` is given",
    "server_error": "HTTP 500",
    "unavailable_html": "HTTP 503 with a page of HTML",
    "unauthorized": "HTTP 401",
    "forbidden": "HTTP 403",
    "html_with_200": "HTTP 200 with a page of HTML: maintenance",
    "empty_body": "HTTP 200 with nothing in it",
    "truncated_json": "the body ends two thirds of the way",
    "no_error_code": "HTTP 200 with a Message and without an ErrorCode",
    "sql_timeout_half_rows": "ErrorCode 10, a timeout, with half of the rows",
    "sql_deadlock": "ErrorCode 10, a deadlock, without rows",
    "sql_other": "ErrorCode 10, another error, without rows",
    "message_half_rows": "ErrorCode 0, a Message, and half of the rows",
    "nothing_found": "ErrorCode 0, no rows and a total of 0",
}


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fail the `nth` call, each `every`-th, or any with `probability`; at most `times` times.

    With `applied` the request is carried out before it fails, as if only its response were lost.
    """

    kind: str
    nth: Positive | None = None
    every: Positive | None = None
    probability: Share | None = None
    times: Annotated[int, Meta(ge=0)] | None = None
    endpoint: str | None = None
    client: int | None = None
    seconds: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    retry_after: str | int | None = None
    applied: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"no such kind of fault: {self.kind}; known: {', '.join(FAULTS)}")
        if self.endpoint not in (None, LOGIN, *ENDPOINTS):
            raise ValueError(f"no such endpoint: {self.endpoint}")


class FaultPlan:
    """The active rules, and the calls that each has counted."""

    def __init__(self, rules: tuple[FaultRule, ...] = ()) -> None:
        self.struck: Counter[str] = Counter()
        self.set(rules)

    def set(self, rules: tuple[FaultRule, ...]) -> None:
        """Replace the rules; all of them start counting at zero."""
        self.rules = rules
        self._calls = [0] * len(rules)
        self._strikes = [0] * len(rules)
        # Each rule draws from its own source, so that rules do not change each other's draws.
        self._chances = [Random(f"fault {rule.seed}") for rule in rules]

    def next(self, endpoint: str, client: int | None) -> FaultRule | None:
        """Count one call for every matching rule; returns the rule that applies to it, or None."""
        striking: int | None = None
        for number, rule in enumerate(self.rules):
            if rule.endpoint not in (None, endpoint) or rule.client not in (None, client):
                continue
            self._calls[number] += 1
            if striking is None and self._is_due(number, rule):
                striking = number
        if striking is None:
            return None
        self._strikes[striking] += 1
        self.struck[self.rules[striking].kind] += 1
        return self.rules[striking]

    def _is_due(self, number: int, rule: FaultRule) -> bool:
        calls = self._calls[number]
        if rule.times is not None and self._strikes[number] >= rule.times:
            return False
        if rule.nth is not None:
            return calls == rule.nth
        if rule.every is not None:
            return calls % rule.every == 0
        return rule.probability is None or self._chances[number].random() < rule.probability


def reply_instead(rule: FaultRule) -> Reply | None:
    """The reply of a fault that replaces the whole response; None for other faults."""
    match rule.kind:
        case "too_many_requests":
            waits = () if rule.retry_after is None else (("Retry-After", str(rule.retry_after)),)
            return Reply(429, b'{"Message": "Too many requests"}', headers=waits)
        case "server_error":
            return AN_ERROR
        case "unavailable_html":
            return Reply(503, _PAGE.format("Service Unavailable").encode(), HTML_TYPE)
        case "unauthorized":
            return DENIED
        case "forbidden":
            return message_reply(403, "Access is denied.")
        case "html_with_200":
            return Reply(200, _PAGE.format("Технические работы").encode(), HTML_TYPE)
        case "empty_body":
            return Reply(200, b"")
        case "no_error_code":
            return message_reply(200, "An error has occurred.")
        case _:
            return None


def spoil_rows(rule: FaultRule, endpoint: Endpoint, fields: Fields) -> Fields:
    """Apply a fault of the rows: an ErrorCode or a Message, with half of the rows or none."""
    match rule.kind:
        case "sql_timeout_half_rows":
            return {**_halved(endpoint, fields), "ErrorCode": 10, "Message": _TIMEOUT[:100]}
        case "sql_deadlock":
            return {**_emptied(fields), "ErrorCode": 10, "Message": _DEADLOCK}
        case "sql_other":
            return {**_emptied(fields), "ErrorCode": 10, "Message": _OTHER}
        case "message_half_rows":
            return {**_halved(endpoint, fields), "ErrorCode": 0, "Message": _PARTLY}
        case "nothing_found":
            return {**_emptied(fields), **dict.fromkeys(endpoint.totals, 0), "ErrorCode": 0}
        case _:
            return fields


def _halved(endpoint: Endpoint, fields: Fields) -> Fields:
    """The first half of the rows; the total stays honest."""
    rows = fields.get(endpoint.rows or "")
    if not isinstance(rows, list):
        return fields
    kept = rows[: len(rows) // 2]
    halved: Fields = {**fields, endpoint.rows or "": kept}
    if "TotalRowsSelect" in fields:
        halved["TotalRowsSelect"] = len(kept)
    return halved


def _emptied(fields: Fields) -> Fields:
    return {name: [] if isinstance(value, list) else None for name, value in fields.items()}


def spoil_bytes(rule: FaultRule, reply: Reply) -> Reply:
    """Apply a fault of the bytes: the body ends after two thirds."""
    if rule.kind != "truncated_json":
        return reply
    cut = reply.body[: len(reply.body) * 2 // 3]
    return Reply(reply.status, cut, reply.content_type, reply.headers)
