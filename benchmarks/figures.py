"""Summaries of several runs: medians, ratios, rates."""

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.measuring import Measurement

Figure = Callable[[Measurement], float]


def middle(runs: Sequence[Measurement], figure: Figure) -> float:
    """The median of a figure."""
    return median(map(figure, runs))


def seconds(runs: Sequence[Measurement], figure: Figure) -> str:
    """The median of a figure in seconds, as text."""
    return f"{middle(runs, figure):.2f} s"


def ratio(runs: Sequence[Measurement], floor: Sequence[Measurement], figure: Figure) -> str:
    """The median ratio of each run to the floor's run of the same round, as text."""
    pairs = zip(runs, floor, strict=True)
    return f"{median(figure(run) / max(0.01, figure(base)) for run, base in pairs):.1f} x"


def mean_rate(arrivals: Sequence[float]) -> float:
    """Requests per second between the first and the last of these moments, in ascending order."""
    return (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])


def most_within_a_second(arrivals: Sequence[float]) -> int:
    """The largest number of arrivals within any one second; moments in ascending order."""
    most = first = 0
    for index, moment in enumerate(arrivals):
        while moment - arrivals[first] >= 1.0:
            first += 1
        most = max(most, index - first + 1)
    return most
