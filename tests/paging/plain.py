"""The rows that a plain loop over pages loses, compared with our reader on the same histories.

The source is well-behaved: true totals, a stable order, no cap. Only its rows change while they are
read, as in `make soak`. The plain loop is what people write by hand, and what declarative sources
do: request the next page from where the last one ended, until a page is short. A row is lost if it
existed at each request and is on no page.

Run it: `python -m tests.paging.plain --histories 100000`.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

from lcm_pipeline.model.pages import PageRequest
from lcm_pipeline.reading.errors import UnprovenReadingError
from tests.paging.histories import drive
from tests.paging.source import Manners, Source

_LENGTH = 10
_ROWS = (20, 40)
_CHANGES = (0.01, 0.05, 0.2)

Reader = Callable[[Source], Iterable[int]]


def plain(source: Source) -> set[int]:
    """The keys that a plain loop reads."""
    keys: set[int] = set()
    start = source.manners.base
    while True:
        page = source.respond(PageRequest(start, _LENGTH))
        keys |= {int(str(row.key[0])) for row in page.rows if isinstance(row.key, tuple)}
        if len(page.rows) < _LENGTH:
            return keys
        start += len(page.rows)


def proven(source: Source) -> set[int]:
    """The keys of a proven reading; raises UnprovenReadingError."""
    rows = drive(source, _LENGTH).rows
    return {int(str(row.key[0])) for row in rows if isinstance(row.key, tuple)}


def verdict(read: Reader, seed: int, changes: float) -> str:
    """`whole`, `lost` if a row is silently missing, or `unproven` if the reader reports it."""
    rng = Random(seed)
    source = Source(rng, Manners(changes=changes))
    source.fill(rng.randint(*_ROWS), moments=200)
    try:
        keys = set(read(source))
    except UnprovenReadingError:
        return "unproven"
    steady = set.intersection(*(set(state) for state in source.states))
    return "whole" if steady <= keys else "lost"


def count(read: Reader, histories: int, changes: float) -> Counter[str]:
    """Count the verdicts over seeded histories."""
    return Counter(verdict(read, seed, changes) for seed in range(histories))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=100_000)
    histories = parser.parse_args().histories
    for changes in _CHANGES:
        for name, read in (("a plain loop", plain), ("lcm", proven)):
            found = count(read, histories, changes)
            print(
                f"a change in {changes:.0%} of the pauses, {name}: {found['lost']:,} of"
                f" {histories:,} histories lost a row silently, {found['unproven']:,} are pending"
            )


if __name__ == "__main__":
    main()
