"""`make fuzz`: plays many mutated responses; prints each failure and how to replay it.

`python -m tests.fuzz.run --mutants 100000 --seed 1` exits with 1 if anything was wrong.
`--replay FILE` only plays the mutants of a failure that was saved in FILE.
"""

import argparse
import multiprocessing
import os
import queue
import sys
import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash.scenes import quick_folder
from tests.fuzz.campaign import (
    Failure,
    Tally,
    mutants_of_round,
    options_of_round,
    play,
    play_round,
    read_replay,
    shrink,
)
from tests.fuzz.scene import Scene, open_scene

_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class SyncRun:
    """The work of one process: every `step`th round from `first`, up to the given limits."""

    seed: int
    first: int
    step: int
    mutants: int
    most_failures: int


def _enter_scene(stack: ExitStack) -> Scene:
    # Libraries warn of odd headers and dates; these warnings are not findings.
    warnings.simplefilter("ignore")
    home = stack.enter_context(quick_folder())
    return stack.enter_context(open_scene(stack.enter_context(embedded_postgres(home)), home))


def _play_rounds(work: SyncRun, results: Any) -> None:
    """Play rounds, and put a tally of each on the queue, and None at the end."""
    with ExitStack() as stack:
        scene = _enter_scene(stack)
        number, left, failures = work.first, work.mutants, 0
        while left > 0 and failures < work.most_failures:
            mutants = mutants_of_round(scene, work.seed, number, left)
            options = options_of_round(number)
            played, found = play_round(scene, mutants, options)
            tally = Tally()
            tally.add(played, len(mutants))
            tally.failures = [shrink(scene, failure) for failure in found]
            results.put(tally)
            left -= len(mutants)
            failures += len(found)
            number += work.step
    results.put(None)


def campaign(*, seed: int, mutants: int, workers: int, most_failures: int, folder: Path) -> Tally:
    """Play mutants in several processes; each failure is printed and saved in a file."""
    results: Any = _CONTEXT.Queue()
    share = -(-mutants // workers)
    processes = []
    for first in range(workers):
        work = SyncRun(seed, first, workers, share, most_failures)
        process = _CONTEXT.Process(target=_play_rounds, args=(work, results))
        process.start()
        processes.append(process)
    tally, began, running = Tally(), time.monotonic(), workers
    while running:
        try:
            found = results.get(timeout=1)
        except queue.Empty:
            if not any(process.is_alive() for process in processes):
                raise RuntimeError("a fuzzing process ended too early: see above") from None
            continue
        if found is None:
            running -= 1
            continue
        for failure in found.failures:
            report(failure, folder, f"{seed}-{len(tally.failures) + 1}")
            tally.failures.append(failure)
        tally.merge(replace(found, failures=[]))
        done, rate = tally.mutants, tally.mutants / (time.monotonic() - began)
        print(f"{done:,} of {mutants:,}, {rate:.0f} a second, {len(tally.failures)} failures",
              flush=True)  # fmt: skip
    for process in processes:
        process.join()
    return tally


def report(failure: Failure, folder: Path, name: str) -> None:
    """Print a failure, and save it in a file that REPLAY accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(failure.to_json() + "\n", encoding="utf-8")
    print(f"FAILED {failure.finding.kind}: {failure.finding.detail}", flush=True)
    for key, mutant in failure.mutants[:3]:
        print(f"  {key[1]}: {str(mutant)[:500]}", flush=True)
    print(f"  make fuzz REPLAY={os.path.relpath(path)}", flush=True)


def replay(path: Path) -> int:
    """Play the mutants of a saved failure; returns the exit code."""
    options, mutants = read_replay(path.read_text(encoding="utf-8"))
    with ExitStack() as stack:
        played = play(_enter_scene(stack), mutants, options)
    for finding in played.findings:
        print(f"FAILED {finding.kind}: {finding.detail}")
    print(f"sent: {played.served}; {len(played.findings)} wrong; {played.seconds:.1f} s")
    return 1 if played.findings else 0


def main(arguments: list[str]) -> int:
    """Parse the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.run", description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--most-failures", type=int, default=20, help="stop after this many")
    parser.add_argument(
        "--folder", type=Path, default=Path(".fuzz"), help="where failures are saved"
    )
    parser.add_argument("--replay", type=Path, help="only play a saved failure")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return replay(options.replay)
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    tally = campaign(
        seed=options.seed,
        mutants=options.mutants,
        workers=options.workers,
        most_failures=options.most_failures,
        folder=options.folder,
    )
    print(tally)
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
