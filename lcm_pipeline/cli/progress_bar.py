"""Progress bars on a terminal, one per feed."""

from collections import Counter
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressBar:
    """Draws on standard error, so that standard output can be piped."""

    def __init__(self) -> None:
        self._bars: dict[str, TaskID] = {}
        self._failed = Counter[str]()
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=36),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pending]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def print_line(self, line: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False, emoji=False)

    def start(self, feed: str, total: int, done: int) -> None:
        """Show a bar, unless total is 0. done: tasks that an earlier process has finished."""
        self._failed[feed] = 0
        self._progress.reset(
            self._bar_of(feed), total=total, completed=done, pending="", visible=total > 0
        )

    def advance(self, feed: str, count: int) -> None:
        """Advance the bar of a feed."""
        self._progress.advance(self._bar_of(feed), count)

    def fail(self, feed: str, count: int) -> None:
        """Show next to a bar how many tasks failed; the bar does not advance."""
        self._failed[feed] += count
        self._progress.update(self._bar_of(feed), pending=f"{self._failed[feed]} pending")

    def finish(self, feed: str) -> None:
        """Fill the bar of a feed, except for the failed tasks."""
        bar, failed = self._bar_of(feed), self._failed[feed]
        task = next(task for task in self._progress.tasks if task.id == bar)
        total = task.completed + failed if task.total is None else task.total
        self._progress.update(bar, total=total, completed=max(0, total - failed))

    def _bar_of(self, feed: str) -> TaskID:
        """The bar of a feed; without a total, until the feed is started."""
        if feed not in self._bars:
            self._bars[feed] = self._progress.add_task(feed, total=None, pending="")
        return self._bars[feed]
