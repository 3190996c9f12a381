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


def mean_rate(by_path: dict[str, list[float]]) -> float:
    """Requests per second while a feed is read; between two feeds there is nothing to ask."""
    read = [moments for moments in by_path.values() if len(moments) > 1]
    return sum(len(m) - 1 for m in read) / sum(m[-1] - m[0] for m in read)


def most_within_a_second(arrivals: Sequence[float]) -> int:
    """The most arrivals within any one second; moments in order."""
    most = first = 0
    for at, moment in enumerate(arrivals):
        while moment - arrivals[first] >= 1.0:
            first += 1
        most = max(most, at - first + 1)
    return most
