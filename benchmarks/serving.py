"""Starts the API server in a separate process, and fetches its request statistics."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.world import World

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Sight:
    """The requests of one contestant. Moments are of the monotonic clock, times in seconds.

    arrivals: of each request, by path. answered: the last response, by path. cpu: the server's.
    """

    arrivals: dict[str, list[float]]
    answered: dict[str, float]
    most_in_flight: int
    cpu: float

    @property
    def requests(self) -> int:
        """The number of requests to all paths."""
        return sum(map(len, self.arrivals.values()))

    @property
    def first_at(self) -> float | None:
        """When the first request arrived; None without requests."""
        return min((moments[0] for moments in self.arrivals.values()), default=None)

    def span(self, path: str) -> float:
        """Seconds from the first request to a path to its last response."""
        return self.answered[path] - self.arrivals[path][0]


@dataclass
class ApiServer:
    """A running server. world: what it serves."""

    url: str
    world: World
    latency: float

    def forget(self) -> None:
        """Reset the statistics."""
        self._request("/forget", {})

    def seen(self) -> Sight:
        """The requests since the last reset."""
        return Sight(**self._request("/seen", {}))

    def grow(self, **fields: Any) -> None:
        """Change fields of the world that is served."""
        self.world = replace(self.world, **fields)
        self._request("/grow", fields)

    def _request(self, path: str, fields: dict[str, Any]) -> Any:
        request = Request(self.url + path, json.dumps(fields).encode(), method="POST")
        with urlopen(request, timeout=60) as response:
            return json.load(response)


@contextmanager
def api_server(world: World, latency: float) -> Iterator[ApiServer]:
    """Run a server of the world for the length of the context; latency in seconds."""
    fields = {name: value for name, value in asdict(world).items() if name != "first"}
    command = [sys.executable, "-m", "benchmarks.api_server"]
    command += ["--latency", str(latency), "--world", json.dumps(fields)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield ApiServer(f"http://127.0.0.1:{port}", world, latency)
        finally:
            process.kill()
