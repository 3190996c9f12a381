"""Where a first sync spends its time: py-spy samples, summed up by part of the pipeline.

A sample counts for the first part of `_PARTS` that its stack contains; waiting counts for none.
Py-spy slows the profiled process down by half, so shares are reported instead of seconds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.contestants import OURS, Contestant, Job
from benchmarks.environments import python_of

# The first entry that matches a stack, in this order, is its part.
_PARTS = (
    ("imports", ("<frozen importlib",)),
    ("saving: COPY into staging, ledger", ("record_outcomes",)),
    ("publishing", ("publish (lcm_pipeline/warehouse/ingest/publish",)),
    ("transform: payloads to table rows", ("lcm_pipeline/transform/",)),
    ("HTTP: httpx, aiohttp, sockets", ("(lcm_pipeline/api/transport", "/aiohttp/", "(aiohttp/")),
    ("the rest of the API's client", ("lcm_pipeline/api/",)),
    ("proving the readings", ("read_client_task",)),
    ("event loop and fan-out", ("run_forever (asyncio", "lcm_pipeline/sync/fan_out")),
    ("migrations", ("migrate (lcm_pipeline",)),
    ("Dagster: events, steps, its storage; checks, marts", ("dagster/", "lcm_pipeline/orchest")),
)
_ELSEWHERE = "start and end of the interpreter, and the rest"
_WAITING = ("select (selectors", "wait (psycopg", "wait (threading", "_worker (concurrent")


def profiled(samples: Path) -> Contestant:
    """Ours under py-spy, which writes its samples to a file."""

    def command(job: Job) -> list[str]:
        spy = Path(python_of("profile")).parent / "py-spy"
        options = ["-r", "100", "-f", "raw", "--nonblocking", "-o", str(samples)]
        return [str(spy), "record", *options, "--", *OURS.command(job)]

    return Contestant("profile", "ours", command, OURS.variables, OURS.found)


def shares(samples: Path) -> list[tuple[str, float]]:
    """The parts and their shares of the samples, the largest first."""
    counts: Counter[str] = Counter()
    for stack, count in _busy(samples.read_text().splitlines()):
        counts[_part(stack)] += count
    total = max(1, counts.total())
    return [(part, count / total) for part, count in counts.most_common()]


def _busy(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if not any(function in stack.rpartition(";")[2] for function in _WAITING):
            yield stack, int(count)


def _part(stack: str) -> str:
    for name, functions in _PARTS:
        if any(function in stack for function in functions):
            return name
    return _ELSEWHERE
