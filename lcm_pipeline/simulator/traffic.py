"""Statistics of the requests: counts, peaks, and the last requests one by one."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lcm_pipeline.simulator.requests import Request

_REMEMBERED = 10_000


class Traffic:
    """Counters since the start or the last reset."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._updating: Counter[int] = Counter()
        self.reset()

    def reset(self) -> None:
        """Reset the counters; requests in flight are still counted as such."""
        self._by_endpoint: Counter[str] = Counter()
        self._by_client: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._recent: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._second: deque[float] = deque()
        self._most_in_flight = self._in_flight
        self._most_per_second = 0
        self._overlapping_updates = 0

    @contextmanager
    def request(self, endpoint: str, request: Request | None) -> Iterator[None]:
        """Count a request; it is in flight for the length of the context."""
        client = (request or {}).get("Client")
        self._count_arrival(endpoint, request, client)
        updated = client if endpoint == "ClientUpdate" else None
        if updated is not None:
            self._overlapping_updates += self._updating[updated] > 0
            self._updating[updated] += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            if updated is not None:
                self._updating[updated] -= 1

    def _count_arrival(self, endpoint: str, request: Request | None, client: int | None) -> None:
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        self._by_endpoint[endpoint] += 1
        if client is not None:
            self._by_client[endpoint][client] += 1
        self._recent.append({"Endpoint": endpoint, **(request or {})})
        moment = time.monotonic()
        self._second.append(moment)
        # Only the requests of the last second count for the peak.
        while self._second[0] <= moment - 1:
            self._second.popleft()
        self._most_per_second = max(self._most_per_second, len(self._second))

    def counts(self) -> dict[str, Any]:
        """All counters, by the names of the control API."""
        by_client: Counter[int] = Counter()
        for clients in self._by_client.values():
            by_client.update(clients)
        return {
            "requests": self._by_endpoint.total(),
            "by_endpoint": dict(self._by_endpoint),
            "by_client": {str(client): number for client, number in by_client.items()},
            "by_endpoint_and_client": {
                endpoint: {str(client): number for client, number in clients.items()}
                for endpoint, clients in self._by_client.items()
            },
            "in_flight": self._in_flight,
            "in_flight_maximum": self._most_in_flight,
            "peak_per_second": self._most_per_second,
            "overlapping_updates": self._overlapping_updates,
        }

    def recent(self) -> list[dict[str, Any]]:
        """The last requests in order, with dates as ticks."""
        return list(self._recent)
