"""What is measured, scenario by scenario. Each returns a `Table` for the documentation.

Contestants take turns, run by run, so that a drift of the machine's speed affects them equally. The
tables contain medians; a ratio is the median over the pairs of runs of the same round.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.arena import Arena, run_once
from benchmarks.contestants import DLT, FACTS, FLOOR, OTHERS, OURS
from benchmarks.figures import mean_rate, middle, most_within_a_second, ratio, seconds
from benchmarks.measuring import Measurement, measure
from benchmarks.profiling import profiled, shares
from benchmarks.report import Table
from benchmarks.serving import api_server
from benchmarks.workers import limits, readers
from benchmarks.world import World

_LATENCY = 0.02


def first_sync(arena: Arena) -> Table:
    """The first sync of 2,000 clients: ours, the floor, dlt, and the others if requested."""
    contestants = [FLOOR, OURS, FACTS, DLT, *(OTHERS[name] for name in arena.others)]
    taken: dict[str, list[Measurement]] = {one.name: [] for one in contestants}
    with api_server(World(), _LATENCY) as server:
        for _ in range(arena.runs):
            for one in contestants:
                job = arena.job(server)
                taken[one.name].append(run_once(one, job))
                arena.clear(job)
    table = Table(
        "first-sync",
        ("", "wall", "wall without start-up", "of the floor", "CPU", "of the floor",
         "CPU without start-up", "of the floor", "peak memory", "requests", "in flight",
         "API server's CPU"),
    )  # fmt: skip
    floor = taken["floor"]
    for one in contestants:
        runs = taken[one.name]
        table.add(
            one.title,
            seconds(runs, lambda m: m.wall),
            seconds(runs, lambda m: m.work),
            ratio(runs, floor, lambda m: m.work),
            seconds(runs, lambda m: m.cpu),
            ratio(runs, floor, lambda m: m.cpu),
            seconds(runs, lambda m: m.work_cpu),
            ratio(runs, floor, lambda m: m.work_cpu),
            f"{middle(runs, lambda m: m.memory):.0f} MB",
            f"{middle(runs, lambda m: m.sight.requests):,.0f}",
            f"{middle(runs, lambda m: m.sight.most_in_flight):.0f}",
            f"{middle(runs, lambda m: 100 * m.sight.cpu / m.work):.0f} % of one core",
        )
    return table


def roster(arena: Arena, sizes: Sequence[int] = (1_000, 10_000, 100_000)) -> Table:
    """Rosters of several sizes: memory, and the cost of a quiet day on which one in a hundred buys.

    One scenario for both, because a quiet day needs a first sync before it. Each is measured once,
    because it takes long.
    """
    table = Table(
        "roster",
        ("clients", "", "rows of the source", "requests", "per client", "of the minimum",
         "peak memory", "wall", "CPU"),
        is_single=True,
    )  # fmt: skip
    for clients in sizes:
        world = World(clients=clients, operations=2, days=21)
        with api_server(world, 0.0) as server:
            job = arena.job(server)
            first = run_once(OURS, job)
            table.add(*_of_roster(server.world, "first sync", first, least=3 * clients + 21))
            server.grow(latest=clients // 100)
            quiet = run_once(OURS, replace(job, only_last_day=True))
            # The look-back polls registration days again: no other request shows late ones.
            table.add(*_of_roster(server.world, "quiet day", quiet, least=3 * clients + 1))
            arena.clear(job)
    return table


def _of_roster(world: World, what: str, measured: Measurement, *, least: int) -> tuple[str, ...]:
    truth, requests = world.truth(), measured.sight.requests
    rows = truth.registrations + truth.operations + truth.leads + truth.offers + truth.goods
    return (
        f"{world.clients:,}",
        what,
        f"{rows:,}",
        f"{requests:,}",
        f"{requests / world.clients:.3f}",
        f"{requests / least:.3f}",
        f"{measured.memory:.0f} MB",
        f"{measured.wall:.0f} s",
        f"{measured.cpu:.0f} s",
    )


def heavy_client(arena: Arena, operations: int = 50_000) -> Table:
    """One client with a long history: its pages are read in parallel."""
    table = Table(
        "heavy-client",
        ("latency", "in flight", "pages", "pages x latency / in flight", "pages on the wire",
         "ratio", "wall without start-up", "most in flight"),
    )  # fmt: skip
    world = World(clients=1, heavy=operations, days=1)
    for latency in (0.02, 0.2, 1.0):
        with api_server(world, latency) as server:
            runs = []
            for _ in range(arena.runs):
                job = arena.job(server, LCM_CONCURRENCY="16")
                runs.append(run_once(OURS, job))
                arena.clear(job)
        pages = len(runs[0].sight.arrivals["OperationHistory"])
        ideal = pages * latency / 16
        wire = middle(runs, lambda m: m.sight.span("OperationHistory"))
        table.add(
            f"{latency * 1000:.0f} ms",
            "16",
            str(pages),
            f"{ideal:.2f} s",
            f"{wire:.2f} s",
            f"{wire / ideal:.2f}",
            seconds(runs, lambda m: m.work),
            f"{middle(runs, lambda m: m.sight.most_in_flight):.0f}",
        )
    return table


def rate(arena: Arena, cap: int = 200) -> Table:
    """A cap of requests per second: the rate is close to it and never above it."""
    table = Table(
        "rate",
        ("cap", "requests", "mean rate", "of the cap", "most within any one second"),
        is_single=True,
    )
    with api_server(World(clients=1_000), _LATENCY) as server:
        job = arena.job(server, LCM_MAX_RPS=str(cap))
        measured = run_once(OURS, job)
        arena.clear(job)
    by_path = dict(measured.sight.arrivals)
    polled = by_path.pop("ClientInfoPeriod")
    of_clients = sorted(itertools.chain(*by_path.values()))
    arrivals = sorted([*polled, *of_clients])
    # The mean rate leaves out the polls: after them the registrations are published, and meanwhile
    # there is nothing to request.
    reached = mean_rate(of_clients)
    table.add(
        f"{cap} a second",
        f"{len(arrivals):,}",
        f"{reached:.1f} a second",
        f"{reached / cap:.1%}",
        str(most_within_a_second(arrivals)),
    )
    return table


def startup(arena: Arena) -> Table:
    """The time until a command does something, in a warehouse that is up to date."""
    table = Table("start-up", ("command", "wall", "CPU"))
    with api_server(World(clients=50), _LATENCY) as server:
        job = arena.job(server)
        run_once(OURS, job)
        for arguments in (("--help",), ("status",)):
            lcm = OURS.command(job)[0]
            variables = OURS.variables(job)
            runs = [measure([lcm, *arguments], variables, None) for _ in range(2 * arena.runs + 1)]
            table.add(
                f"lcm {' '.join(arguments)}",
                seconds(runs, lambda m: m.wall),
                seconds(runs, lambda m: m.cpu),
            )
        runs = [run_once(OURS, job) for _ in range(arena.runs)]
        table.add(
            "lcm sync, until its first request",
            seconds(runs, lambda m: m.startup),
            seconds(runs, lambda m: m.startup_cpu),
        )
        fresh = []
        for _ in range(arena.runs):
            new = arena.job(server)
            fresh.append(run_once(OURS, new))
            arena.clear(new)
        table.add(
            "the same, in an empty database: migrations and marts too",
            seconds(fresh, lambda m: m.startup),
            seconds(fresh, lambda m: m.startup_cpu),
        )
        arena.clear(job)
    return table


def profile(arena: Arena) -> Table:
    """Where the first sync spends its time."""
    samples = arena.folder / "samples"
    with api_server(World(), _LATENCY) as server:
        job = arena.job(server)
        run_once(profiled(samples), job)
        arena.clear(job)
    table = Table("profile", ("part", "share of the processor time"), is_single=True)
    for part, share in shares(samples):
        table.add(part, f"{share:.0%}")
    return table


SCENARIOS: dict[str, Callable[[Arena], Table]] = {
    "first-sync": first_sync,
    "roster": roster,
    "heavy-client": heavy_client,
    "rate": rate,
    "start-up": startup,
    "profile": profile,
    "readers": readers,
    "limits": limits,
}
