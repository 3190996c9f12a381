"""Progress bars on a terminal, one per feed."""

from types import TracebackType
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
        self._failed: dict[str, int] = {}
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def print_line(self, line: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False, emoji=False)

    def start(self, feed: str, total: int, done: int) -> None:
        """Add a bar, unless total is 0. done: tasks that an earlier process has finished."""
        self._failed[feed] = 0
        self._bars[feed] = self._progress.add_task(
            feed, total=total, completed=done, pending="", visible=total > 0
        )

    def advance(self, feed: str, count: int) -> None:
        """Advance the bar of a feed."""
        self._progress.advance(self._bars[feed], count)

    def fail(self, feed: str, count: int) -> None:
        """Show next to a bar how many tasks failed; the bar does not advance."""
        self._failed[feed] += count
        self._progress.update(self._bars[feed], pending=f"{self._failed[feed]} pending")

    def finish(self, feed: str) -> None:
        """Fill the bar of a feed, except for the failed tasks."""
        bar = self._bars[feed]
        total = next(task.total or 0 for task in self._progress.tasks if task.id == bar)
        self._progress.update(bar, completed=max(0, total - self._failed[feed]))
