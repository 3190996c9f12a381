"""Figures of several runs brought down to one: medians, ratios, rates."""

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
    """The median of the ratios of runs to the floor's runs just before them, as text."""
    pairs = zip(runs, floor, strict=True)
    return f"{median(figure(one) / max(0.01, figure(other)) for one, other in pairs):.1f} x"


def mean_rate(arrivals: Sequence[float]) -> float:
    """Requests per second from the first to the last; moments in order."""
    return (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])


def most_within_a_second(arrivals: Sequence[float]) -> int:
    """The most arrivals within any one second; moments in order."""
    most = first = 0
    for at, moment in enumerate(arrivals):
        while moment - arrivals[first] >= 1.0:
            first += 1
        most = max(most, at - first + 1)
    return most
