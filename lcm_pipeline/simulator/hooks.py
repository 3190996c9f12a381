"""Planned changes to a client's rows between two requests.

A hook fires after the `after`-th request for its client at its endpoint, counted per client since
the hook was set: once, or after every later request too.
"""

from collections import Counter

import msgspec

from lcm_pipeline.simulator.endpoints import SHELVES
from lcm_pipeline.simulator.mutations import Action
from lcm_pipeline.simulator.world import World

_KINDS = {endpoint.name: shelf for shelf, endpoint in SHELVES.items()}


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change after which request. client: None applies the hook to every client."""

    action: Action
    after: int = 1
    client: int | None = None
    endpoint: str = "OperationHistory"
    repeat: bool = False

    def __post_init__(self) -> None:
        if self.endpoint not in _KINDS:
            raise ValueError(
                f"no rows to change at {self.endpoint}: it is one of {', '.join(_KINDS)}"
            )


class HookPlan:
    """The active hooks, and the requests that they have counted."""

    def __init__(self) -> None:
        self.set(())

    def set(self, hooks: tuple[Hook, ...]) -> None:
        """Replace the hooks; all of them start counting at zero."""
        self._hooks = hooks
        self._seen: Counter[tuple[int, int]] = Counter()

    def after_request(self, world: World, endpoint: str, client: int | None) -> None:
        """Count a completed request, and apply the changes that are due."""
        if client is None or not self._hooks:
            return
        for number, hook in enumerate(self._hooks):
            if hook.endpoint != endpoint or hook.client not in (None, client):
                continue
            self._seen[number, client] += 1
            seen = self._seen[number, client]
            if seen == hook.after or (hook.repeat and seen > hook.after):
                world.mutate(hook.action, client, kind=_KINDS[endpoint])
