"""Starts the API server as a process of its own, and asks it what it saw."""

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
    """What the server saw of one contestant. Moments are monotonic, times seconds.

    arrivals: of each request, by path. answered: the last answer by path. cpu: the server's own.
    """

    arrivals: dict[str, list[float]]
    answered: dict[str, float]
    most_in_flight: int
    cpu: float

    @property
    def requests(self) -> int:
        """Over all paths."""
        return sum(map(len, self.arrivals.values()))

    @property
    def first_at(self) -> float | None:
        """When the first request came; None when none did."""
        return min((moments[0] for moments in self.arrivals.values()), default=None)

    def span(self, path: str) -> float:
        """From the first request of a path to the last answer to one."""
        return self.answered[path] - self.arrivals[path][0]


@dataclass
class ApiServer:
    """A server that runs. world: what it serves."""

    url: str
    world: World
    latency: float

    def forget(self) -> None:
        """Begin to count anew."""
        self._ask("/forget", {})

    def seen(self) -> Sight:
        """What was seen since."""
        return Sight(**self._ask("/seen", {}))

    def grow(self, **fields: Any) -> None:
        """Change fields of the world that is served."""
        self.world = replace(self.world, **fields)
        self._ask("/grow", fields)

    def _ask(self, path: str, fields: dict[str, Any]) -> Any:
        request = Request(self.url + path, json.dumps(fields).encode(), method="POST")
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)


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
