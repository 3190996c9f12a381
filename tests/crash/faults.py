"""Fails the n-th HTTP call and the n-th SQL statement of a sync, for every n, in every way.

`python -m tests.crash.faults` takes each feed of a first sync and of the next day's sync, counts
the calls and statements of a clean run, and fails each of them in turn. A run that ends with an
error is started again. `--every K` takes only each K-th, beginning with another one for each kind,
so that K kinds together fail each of them; `--kind NAME` takes only one kind.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash.fault_cases import (
    HTTP_KINDS,
    SQL_KINDS,
    Case,
    FaultScene,
    Verdict,
    open_fault_scene,
)
from tests.crash.scenes import quick_folder
from tests.crash.tallies import Table
from tests.syncing import FEEDS

_BEGINNINGS = ("first sync", "next day")


def cases_of(
    scene: FaultScene, feed: str, *, seed: int, every: int, only: str | None
) -> Iterator[Case]:
    """Yield every n (or each `every`-th) with every kind, for a feed from one beginning."""
    calls, statements = scene.sizes[feed]
    for kinds, most in ((HTTP_KINDS, calls), (SQL_KINDS, statements)):
        for number, kind in enumerate(kinds, seed):
            if only in (None, kind):
                yield from (Case(feed, kind, n) for n in range(1 + number % every, most + 1, every))


def play_all(options: argparse.Namespace, beginning: str) -> list[tuple[str, Case, Verdict]]:
    """Play all cases of one beginning, on a separate server."""
    played: list[tuple[str, Case, Verdict]] = []
    with quick_folder() as folder, embedded_postgres(folder) as url:
        is_first = beginning == _BEGINNINGS[0]
        with open_fault_scene(url, folder, seed=options.seed, is_first=is_first) as scene:
            cases = partial(
                cases_of, scene, seed=options.seed, every=options.every, only=options.kind
            )
            for feed in FEEDS:
                for case in cases(feed):
                    played.append((beginning, case, scene.play(case)))
                    if played[-1][-1].is_wrong:
                        print("WRONG:", *played[-1], flush=True)
                print(f"{beginning}: {feed} done, {len(played)} cases so far", flush=True)
    return played


def tabulate(played: Sequence[tuple[str, Case, Verdict]]) -> Table:
    """Sum up the verdicts by kind."""
    table = Table()
    for beginning, case, verdict in played:
        line = table.line(case.kind)
        line.strikes += verdict.was_met
        line.reruns += verdict.reruns
        line.lost += len(verdict.lost)
        line.doubled += len(verdict.surplus)
        if verdict.is_wrong:
            rows = [*verdict.problems, *verdict.lost[:2], *verdict.surplus[:2]]
            sums = f"{len(verdict.lost)} lost, {len(verdict.surplus)} surplus"
            table.wrong.append(f"{beginning}, {case}: {sums}, {rows}")
    return table


def main(arguments: list[str]) -> int:
    """Parse the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.crash.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--kind", choices=(*HTTP_KINDS, *SQL_KINDS))
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with ThreadPoolExecutor(len(_BEGINNINGS)) as pool:
        played = list(chain.from_iterable(pool.map(partial(play_all, options), _BEGINNINGS)))
    table = tabulate(played)
    print(table.show("kind"))
    print(f"{len(played)} cases in {time.monotonic() - began:.0f} s")
    for wrong in table.wrong:
        print("WRONG:", wrong)
    return 1 if table.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
