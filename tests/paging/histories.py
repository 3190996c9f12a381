"""One random history: a source, its behaviour, its changes while it is read, and the verdict.

For the long run: `python -m tests.paging.histories --histories 1000000`.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from multiprocessing import Pool
from random import Random

from lcm_pipeline.model.pages import Page
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.fingerprint import ProvenState, Reading
from lcm_pipeline.reading.proof import PagingHabits, prove_reading
from tests.paging.source import Manners, Source, version_of


class SilentlyWrongError(AssertionError):
    """A reading was reported as proven, but differs from the rows of the source."""


def drive(
    source: Source,
    length: int,
    known: ProvenState | None = None,
    *,
    must_be_full: bool = False,
    trusts_single_pages: bool = False,
) -> Reading:
    """Read `source` to the end with new habits; a sync trusts single pages of most clients."""
    reader = prove_reading(
        length=length,
        habits=PagingHabits(),
        known=known,
        must_be_full=must_be_full,
        trusts_single_pages=trusts_single_pages,
    )
    requests = next(reader)
    while True:
        pages: list[Page] = [source.respond(request) for request in requests]
        try:
            requests = reader.send(pages)
        except StopIteration as stop:
            return stop.value


def draw_manners(rng: Random) -> Manners:
    """Draw the quirks of a source, alone and in combination.

    One pair is excluded: nothing can be proven about a source that repeats old responses *and* lies
    about its total.
    """
    often = rng.random
    repeats = rng.choice([0.0, 0.0, 0.0, 0.1])
    return Manners(
        base=int(often() < 0.75),
        cap=rng.choice([1_000, 1_000, 3, 4, 5, 7]),
        one_too_many=often() < 0.2,
        shuffles_ties=often() < 0.4,
        oldest_first=often() < 0.2,
        ignores_start=often() < 0.05,
        lie=0 if repeats else rng.choice([0] * 12 + [None, None, -1, 1, -2, -5]),
        lies_randomly=not repeats and often() < 0.05,
        repeats=repeats,
        changes=rng.choice([0.0, 0.0, 0.05, 0.3, 0.8]),
    )


def run_history(seed: int) -> str:
    """Read one random source; returns a verdict, raises SilentlyWrongError with the seed."""
    rng = Random(seed)
    source = Source(rng, draw_manners(rng))
    rows = rng.choice([0, 1, 2, rng.randrange(12), rng.randrange(40)])
    source.fill(rows, moments=rng.choice([3, 8, 200]))
    length = rng.choice([3, 4, 5, 8, 12, 50])
    # A run trusts a total that one page satisfies only after it has checked the largest such page;
    # a source that lies fails this check.
    trusts_single_pages = is_honest(source.manners) and rng.random() < 0.5
    try:
        reading = drive(source, length, trusts_single_pages=trusts_single_pages)
    except UnprovenReadingError:
        if is_plain(source, length):
            raise SilentlyWrongError(f"seed {seed}: a stable source was flagged") from None
        return "flagged"
    verdict = judge(source, reading, seed)
    if verdict == "exact" and source.rows and is_honest(source.manners):
        read_on_another_day(source, reading, length, seed)
    return verdict


def read_on_another_day(source: Source, before: Reading, length: int, seed: int) -> None:
    """Add, delete or change rows, and read again with the known state: the keys must be exact."""
    source.manners = replace(source.manners, changes=0.0, repeats=0.0)
    if {row.key[0] for row in before.rows} != set(source.rows):
        return
    kind = source.rng.choice(["come", "go", "change", "nothing"])
    for _ in range(source.rng.randint(1, 4)):
        source.change_of_kind(kind)
    try:
        after = drive(source, length, before.state_to_store, trusts_single_pages=True)
    except UnprovenReadingError:
        return
    keys = {row.key[0] for row in after.rows}
    if after.kind != "full":
        keys |= {row.key[0] for row in before.rows}
    if keys != set(source.rows) or after.state_to_store.total != len(source.rows):
        raise SilentlyWrongError(f"seed {seed}: second reading after {kind}: {source.manners}")


def is_honest(manners: Manners) -> bool:
    """Whether the source's totals are true."""
    return manners.lie == 0 and not manners.lies_randomly


def is_plain(source: Source, length: int) -> bool:
    """Whether the source is stable and honest, so that its reading must be proven.

    Ties that are shuffled on each request cannot be paged if they fill a page.
    """
    manners = source.manners
    stable = not (manners.repeats or manners.changes or manners.ignores_start)
    ties = Counter(moment for moment, _ in source.rows.values())
    page = min(length, manners.cap)
    settled = not manners.shuffles_ties or max(ties.values(), default=0) <= page // 3
    return stable and settled and (manners.lie is None or is_honest(manners))


def judge(source: Source, reading: Reading, seed: int) -> str:
    """Compare a proven reading with every state that the source had while it was read."""
    result = {row.key[0]: version_of(row) for row in reading.rows}
    states = [
        {key: version for key, (_, version) in state.items()} for state in distinct(source.states)
    ]
    if result in states:
        return "exact"
    versions = {item for state in states for item in state.items()}
    steady = set.intersection(*(set(state) for state in states))
    if not any(source.moved) or not steady <= result.keys() or not result.items() <= versions:
        raise SilentlyWrongError(
            f"seed {seed}: {source.manners} missing {sorted(steady - result.keys())}"
            f" invented {sorted(result.items() - versions)[:3]}"
        )
    return "row by row"


def distinct(states: list[dict[int, tuple[int, int]]]) -> list[dict[int, tuple[int, int]]]:
    """The states without immediate repetitions, latest first."""
    found = [states[-1]]
    for state in reversed(states):
        if state != found[-1]:
            found.append(state)
    return found


def run_range(bounds: tuple[int, int]) -> Counter[str]:
    return Counter(run_history(seed) for seed in range(*bounds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    chunk = 5_000
    ranges = [
        (at, min(at + chunk, options.seed + options.histories))
        for at in range(options.seed, options.seed + options.histories, chunk)
    ]
    verdicts: Counter[str] = Counter()
    started = time.monotonic()
    with Pool(options.processes) as pool:
        for done, part in enumerate(pool.imap_unordered(run_range, ranges), 1):
            verdicts += part
            if done % 20 == 0:
                print(f"{sum(verdicts.values()):>9,} histories  {dict(verdicts)}", flush=True)
    total = sum(verdicts.values())
    print(f"{total:,} histories in {time.monotonic() - started:.0f} s, none silently wrong")
    for verdict, count in verdicts.most_common():
        print(f"  {verdict:<12} {count:>9,}  {count / total:7.3%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
