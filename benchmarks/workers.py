"""A sync by several readers in Celery workers: how much faster it is, and that they share a cap."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import redis_broker
from benchmarks.arena import Arena, run_once
from benchmarks.contestants import OURS, Job
from benchmarks.figures import mean_rate, most_within_a_second
from benchmarks.measuring import ContestantError, Measurement
from benchmarks.report import Table
from benchmarks.serving import ROOT, ApiServer, api_server
from benchmarks.world import World

_LATENCY = 0.2
_IN_FLIGHT = 16
_START_SECONDS = 120.0


def readers(arena: Arena, counts: Sequence[int] = (1, 2, 4), clients: int = 10_000) -> Table:
    """The same first sync with 1, 2 and 4 readers, each in a separate worker with one slot."""
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


def limits(arena: Arena, cap: int = 200, in_flight: int = 40, clients: int = 6_000) -> Table:
    """One cap for four readers, one of which is killed halfway."""
    table = Table(
        "limits",
        ("", "requests", "mean rate", "of the cap", "most within any one second",
         "most in flight"),
        is_single=True,
    )  # fmt: skip
    with api_server(World(clients=clients), 0.1) as server, redis_broker.redis_broker() as url:
        job = arena.job(
            server,
            LCM_EXECUTOR="celery",
            LCM_CELERY_BROKER=url,
            LCM_READERS="4",
            LCM_CONCURRENCY=str(_IN_FLIGHT),
            LCM_MAX_RPS=str(cap),
            LCM_MAX_IN_FLIGHT=str(in_flight),
        )
        with workers(job, 4) as running:
            killed: list[float] = []
            strike = (server, running[0], clients // 2, killed)
            killing = threading.Thread(target=_kill_in_the_middle, args=strike, daemon=True)
            killing.start()
            measured = run_once(OURS, job)
            killing.join()
        arena.clear(job)
    arrivals = sorted(itertools.chain(*measured.sight.arrivals.values()))
    read = measured.sight.arrivals["OperationHistory"]
    # Only the time in which all readers had clients of the feed to read: its first requests are
    # probes at the start.
    begins, ends = read[cap], read[-cap]
    lost = killed[0]
    for what, since, until in (
        ("four readers", begins, lost),
        ("three, as one was killed", lost + 1.0, ends),
        ("the whole sync", arrivals[0], arrivals[-1] + 1),
    ):
        part = [moment for moment in arrivals if since <= moment < until]
        rate = mean_rate(part)
        is_whole = what == "the whole sync"
        table.add(
            what,
            f"{len(part):,}",
            "" if is_whole else f"{rate:.1f} a second",
            "" if is_whole else f"{rate / cap:.1%}",
            str(most_within_a_second(part)),
            str(measured.sight.most_in_flight) if is_whole else "",
        )
    return table


def _kill_in_the_middle(server: ApiServer, worker: int, requests: int, killed: list[float]) -> None:
    """Kill a worker with all its processes after so many requests for operations."""
    while len(server.seen().arrivals.get("OperationHistory", ())) < requests:
        time.sleep(0.5)
    os.killpg(worker, signal.SIGKILL)
    killed.append(time.monotonic())


@contextmanager
def workers(job: Job, count: int) -> Iterator[list[int]]:
    """Start workers with one slot each and wait until they are ready; yields their process ids."""
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
