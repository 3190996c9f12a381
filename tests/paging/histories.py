"""One random history: a source, its manners, what happens while it is read, and the verdict.

Run as a program for the long run: `python -m tests.paging.histories --histories 1000000`.
"""

import argparse
import sys
import time
from collections import Counter
from multiprocessing import Pool
from random import Random

from lcm_pipeline.model.pages import Page
from lcm_pipeline.sync.proofs import Known, Reading
from lcm_pipeline.sync.reading import PagingHabits, Unproven, read_client
from tests.paging.source import Manners, Source, source_row


class SilentlyWrongError(AssertionError):
    """A reading was called proven and is not what the source held."""


def drive(
    source: Source, length: int, known: Known | None = None, *, whole: bool = False
) -> Reading:
    """Read `source` to the end with fresh habits, as one that trusts nothing yet."""
    reader = read_client(length=length, habits=PagingHabits(), known=known, whole=whole)
    asks = next(reader)
    while True:
        pages: list[Page] = [source.answer(ask) for ask in asks]
        try:
            asks = reader.send(pages)
        except StopIteration as stop:
            return stop.value


def draw_manners(rng: Random) -> Manners:
    """Every quirk about as often as not, alone and together.

    One pair is left out: a source that serves old answers again *and* lies about its total leaves
    nothing to prove by.
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
        lies_anew=not repeats and often() < 0.05,
        repeats=repeats,
        changes=rng.choice([0.0, 0.0, 0.05, 0.3, 0.8]),
    )


def run_history(seed: int) -> str:
    """Read one random source; answers a verdict, raises SilentlyWrongError with the seed."""
    rng = Random(seed)
    source = Source(rng, draw_manners(rng))
    rows = rng.choice([0, 1, 2, rng.randrange(12), rng.randrange(40)])
    source.fill(rows, moments=rng.choice([3, 8, 200]))
    length = rng.choice([3, 4, 5, 8, 12, 50])
    try:
        reading = drive(source, length)
    except Unproven:
        if is_plain(source.manners):
            raise SilentlyWrongError(f"seed {seed}: a stable source was flagged") from None
        return "flagged"
    return judge(source, reading, seed)


def is_plain(manners: Manners) -> bool:
    """Whether the source is stable and honest, so that it has to be proven."""
    honest = manners.lie in (0, None) and not manners.lies_anew and not manners.repeats
    # a tie that is as large as a page and shuffled anew each time has no order to page by
    settled = not manners.shuffles_ties
    return honest and settled and not manners.changes and not manners.ignores_start


def judge(source: Source, reading: Reading, seed: int) -> str:
    """Hold a proven reading against every state the source was in while it was read."""
    result = {row.key[0]: row.digest for row in reading.rows}
    states = [
        {key: source_row(key, *row).digest for key, row in state.items()} for state in source.states
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
