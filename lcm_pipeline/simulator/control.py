"""The control API under /_control/, with which tests inspect and change a running simulator.

Requests and responses are JSON; only clients on this machine may use it. The vendor's API has
nothing like it.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.hooks import Hook
from lcm_pipeline.simulator.mutations import Action
from lcm_pipeline.simulator.quirks import changed
from lcm_pipeline.simulator.replies import Reply, message_reply, write_json
from lcm_pipeline.simulator.service import Service

PATH = "/_control/"


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Move the clock to a moment, or on by days."""

    to: datetime | None = None
    days: float = 0


class Mutation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change a client's rows now."""

    action: Action
    client: int
    kind: str = "operations"


class Merge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Move one client's history to another now."""

    source: int
    target: int


def control(service: Service, method: str, path: str, body: bytes) -> Reply:
    """The reply to one request of the control API."""
    route = _ROUTES.get((method, path.removeprefix(PATH)))
    if route is None:
        return message_reply(404, f"no such control: {method} {path}")
    try:
        return Reply(200, write_json(route(service, body or b"{}")))
    except (msgspec.MsgspecError, ValueError) as error:
        return message_reply(400, str(error))


def _health(service: Service, _: bytes) -> dict[str, Any]:
    return {"status": "ok", "now": service.world.now.isoformat()}


def _stats(service: Service, _: bytes) -> dict[str, Any]:
    return {
        **service.traffic.counts(),
        "faults": dict(service.faults.struck),
        "logins": service.identity.logins,
    }


def _reset_stats(service: Service, body: bytes) -> dict[str, Any]:
    service.traffic.reset()
    service.faults.struck.clear()
    return _health(service, body)


def _advance(service: Service, body: bytes) -> dict[str, Any]:
    wanted = msgspec.json.decode(body, type=Advance)
    if wanted.to is not None and wanted.to.tzinfo is not None:
        raise ValueError("the clock is naive Moscow time: leave the offset out")
    service.world.advance(wanted.to, days=wanted.days)
    return _health(service, body)


def _set_faults(service: Service, body: bytes) -> dict[str, Any]:
    rules = msgspec.json.decode(body, type=tuple[FaultRule, ...])
    service.faults.set(rules)
    return {"rules": len(rules)}


def _set_hooks(service: Service, body: bytes) -> dict[str, Any]:
    hooks = msgspec.json.decode(body, type=tuple[Hook, ...])
    service.hooks.set(hooks)
    return {"hooks": len(hooks)}


def _set_quirks(service: Service, body: bytes) -> dict[str, Any]:
    changes = msgspec.json.decode(body, type=dict[str, Any])
    service.desk.quirks = changed(service.desk.quirks, changes)
    return msgspec.structs.asdict(service.desk.quirks)


def _mutate(service: Service, body: bytes) -> dict[str, Any]:
    wanted = msgspec.json.decode(body, type=Mutation)
    return {"changed": service.world.mutate(wanted.action, wanted.client, kind=wanted.kind)}


def _merge(service: Service, body: bytes) -> dict[str, Any]:
    wanted = msgspec.json.decode(body, type=Merge)
    service.world.merge(wanted.source, wanted.target)
    return {"merged": True}


def _forget_tokens(service: Service, body: bytes) -> dict[str, Any]:
    service.identity.forget()
    return _health(service, body)


_ROUTES: dict[tuple[str, str], Callable[[Service, bytes], Any]] = {
    ("GET", "health"): _health,
    ("GET", "truth"): lambda service, _: service.world.truth(),
    ("GET", "stats"): _stats,
    ("GET", "requests"): lambda service, _: service.traffic.recent(),
    ("GET", "profiles"): lambda service, _: service.world.profile_rows(),
    ("GET", "updates"): lambda service, _: service.world.profiles.updates,
    ("GET", "quirks"): lambda service, _: msgspec.structs.asdict(service.desk.quirks),
    ("POST", "advance"): _advance,
    ("POST", "quirks"): _set_quirks,
    ("POST", "faults"): _set_faults,
    ("POST", "hooks"): _set_hooks,
    ("POST", "mutate"): _mutate,
    ("POST", "merge"): _merge,
    ("POST", "reset-stats"): _reset_stats,
    ("POST", "forget-tokens"): _forget_tokens,
}
