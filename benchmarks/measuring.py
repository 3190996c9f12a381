"""Measures one command from outside: wall, start-up, processor time, memory.

The API server and Postgres are other processes and do not count. The start-up ends when the first
request reaches the server. Memory is the sum over all processes of the command, sampled every 0.05
seconds; pages that processes share count for each of them.
"""

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving import ROOT, ApiServer, Sight

_EVERY_SECONDS = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class ContestantError(Exception):
    """A contestant failed; the message contains the end of its output."""


@dataclass(frozen=True)
class Measurement:
    """One run. Times in seconds, memory in MB; wall and cpu include the start-up."""

    wall: float
    startup: float
    cpu: float
    startup_cpu: float
    memory: float
    sight: Sight

    @property
    def work(self) -> float:
        """Wall without the start-up."""
        return self.wall - self.startup

    @property
    def work_cpu(self) -> float:
        """Processor time without the start-up."""
        return self.cpu - self.startup_cpu


@dataclass
class _Watch:
    """Samples a process and its descendants until they have ended."""

    pid: int
    peak: float = 0.0
    cpu_at: list[tuple[float, float]] = field(default_factory=list)

    def sample(self) -> None:
        """Sum up what the processes use now."""
        cpu = memory = 0.0
        for pid in _family(self.pid):
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
            # utime and stime, and cutime and cstime of children that have ended.
            cpu += sum(map(int, stat[11:15])) / _TICKS
            memory += pages * _PAGE_MB
        self.peak = max(self.peak, memory)
        self.cpu_at.append((time.monotonic(), cpu))

    def until_end(self, process: "subprocess.Popen[bytes]") -> None:
        """Sample until the process has ended."""
        while True:
            try:
                process.wait(timeout=_EVERY_SECONDS)
            except subprocess.TimeoutExpired:
                self.sample()
            else:
                return

    def cpu_before(self, moment: float | None) -> float:
        """The processor time used up to a moment."""
        if moment is None:
            return 0.0
        return max((cpu for at, cpu in self.cpu_at if at <= moment), default=0.0)


def measure(
    command: Sequence[str], variables: dict[str, str], server: ApiServer | None
) -> Measurement:
    """Run a command to its end and measure it; raises ContestantError if it fails."""
    if server is not None:
        server.forget()
    before, began = _cpu_of_children(), time.monotonic()
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            command,
            env={**_environment(), **variables},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        watch = _Watch(process.pid)
        watch.until_end(process)
        wall = time.monotonic() - began
        if process.returncode != 0:
            output.seek(0)
            failure = f"{' '.join(command[:4])} … exited with {process.returncode}"
            raise ContestantError(f"{failure}:\n{output.read()[-4_000:]}")
    cpu = _cpu_of_children() - before
    sight = server.seen() if server is not None else _NO_REQUESTS
    first = sight.first_at
    startup = first - began if first is not None else wall
    return Measurement(wall, startup, cpu, watch.cpu_before(first), watch.peak, sight)


_NO_REQUESTS = Sight({}, {}, 0, 0.0)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    """The environment without variables that would configure a contestant."""
    prefixes = ("LCM_", "DAGSTER_", "PG", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        for task in _listed(Path(f"/proc/{parent}/task")):
            try:
                children = (task / "children").read_text().split()
            except OSError:
                continue
            found += [int(child) for child in children if int(child) not in found]
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
