"""A sync by several readers in Celery's workers, of an API whose latency takes the time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import redis_broker
from benchmarks.arena import Arena, run_once
from benchmarks.contestants import OURS, Job
from benchmarks.measuring import ContestantError, Measurement
from benchmarks.report import Table
from benchmarks.serving import ROOT, api_server
from benchmarks.world import World

_LATENCY = 0.2
_IN_FLIGHT = 16
_START_SECONDS = 120.0


def readers(arena: Arena, counts: Sequence[int] = (1, 2, 4), clients: int = 10_000) -> Table:
    """The same first sync by 1, 2 and 4 readers, each in a worker of its own with one slot."""
    table = Table(
        "readers",
        ("readers", "wall", "faster", "without start-up", "faster", "CPU of the command",
         "requests", "most in flight", "API server's CPU"),
        is_single=True,
    )  # fmt: skip
    alone: Measurement | None = None
    with api_server(World(clients=clients), _LATENCY) as server, redis_broker.redis_broker() as url:
        for count in counts:
            job = arena.job(
                server,
                LCM_EXECUTOR="celery",
                LCM_CELERY_BROKER=url,
                LCM_READERS=str(count),
                LCM_CONCURRENCY=str(_IN_FLIGHT),
            )
            with workers(job, count):
                measured = run_once(OURS, job)
            arena.clear(job)
            alone = alone or measured
            table.add(
                str(count),
                f"{measured.wall:.1f} s",
                f"{alone.wall / measured.wall:.2f} x",
                f"{measured.work:.1f} s",
                f"{alone.work / measured.work:.2f} x",
                f"{measured.cpu:.1f} s",
                f"{measured.sight.requests:,}",
                str(measured.sight.most_in_flight),
                f"{100 * measured.sight.cpu / measured.work:.0f} % of one core",
            )
    return table


@contextmanager
def workers(job: Job, count: int) -> Iterator[list[int]]:
    """So many workers with one slot each, ready to run the steps of a job; their process ids."""
    lcm = str(Path(sys.executable).parent / "lcm")
    with ExitStack() as stack:
        running = []
        for number in range(1, count + 1):
            log = job.home / f"worker_{number}.log"
            process = subprocess.Popen(
                [lcm, "worker", "--slots", "1", "--name", f"reader-{number}"],
                env={**os.environ, **OURS.variables(job)},
                cwd=ROOT,
                stdout=stack.enter_context(log.open("wb")),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(_end, process)
            running.append((process, log))
        deadline = time.monotonic() + _START_SECONDS
        for process, log in running:
            while " ready" not in log.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ContestantError(f"a worker did not start:\n{log.read_text()[-2_000:]}")
                time.sleep(0.1)
        yield [process.pid for process, _ in running]


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
