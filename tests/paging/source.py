"""A source of one client's rows that pages as badly as the service can, and changes in between.

Written independently of the reader: it works with lists, not seams. It records its state at every
request, so that a result can be compared with the rows that existed.
"""

from dataclasses import dataclass, field
from functools import cache
from random import Random

from lcm_pipeline.model.pages import Page, PageRequest, SourceRow

_VERSIONS = 1_000_003
# A source that is read for long would grow, and slow the long run down without benefit.
_MAX_ROWS = 45


@dataclass(frozen=True)
class Manners:
    """How a source pages. lie: added to the true total; None if the source sends no total."""

    base: int = 1
    cap: int = 1_000
    one_too_many: bool = False
    shuffles_ties: bool = False
    oldest_first: bool = False
    ignores_start: bool = False
    lie: int | None = 0
    lies_randomly: bool = False
    repeats: float = 0.0
    changes: float = 0.0
    is_suspicious: bool = False


@dataclass
class Source:
    """Rows as {key: (moment, version)}; `states` contains one snapshot per request."""

    rng: Random
    manners: Manners
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    states: list[dict[int, tuple[int, int]]] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)
    _next: int = 0
    _last: Page | None = None

    def fill(self, count: int, moments: int) -> None:
        for _ in range(count):
            self.insert(self.rng.randrange(moments))

    def respond(self, request: PageRequest) -> Page:
        moved = bool(self.states) and self._maybe_change()
        self.states.append(dict(self.rows))
        self.moved.append(moved)
        if self._last is not None and self.rng.random() < self.manners.repeats:
            return self._last
        suspicious = self.manners.is_suspicious
        self._last = Page(tuple(self._slice(request)), self._total(), is_suspicious=suspicious)
        return self._last

    def change(self) -> None:
        """Make one random change: a new, late, deleted or changed row."""
        top = max((moment for moment, _ in self.rows.values()), default=0)
        kind = self.rng.randrange(5) if len(self.rows) < _MAX_ROWS else 3
        if kind == 0 or not self.rows:
            self.insert(top + self.rng.randrange(2))
        elif kind == 1:
            self.insert(self.rng.randrange(top + 1))
        elif kind == 2:
            self.insert(0)
        elif kind == 3:
            del self.rows[self.rng.choice(list(self.rows))]
        else:
            key = self.rng.choice(list(self.rows))
            moment, version = self.rows[key]
            self.rows[key] = (moment, version + 1)

    def change_of_kind(self, kind: str) -> None:
        """Make one change of a kind: add, delete or change a random row, or do nothing."""
        if kind == "come":
            top = max((moment for moment, _ in self.rows.values()), default=0)
            self.insert(self.rng.choice([top, top + 1, self.rng.randrange(top + 1)]))
        elif kind == "go" and self.rows:
            del self.rows[self.rng.choice(list(self.rows))]
        elif kind == "change" and self.rows:
            key = self.rng.choice(list(self.rows))
            self.rows[key] = (self.rows[key][0], self.rows[key][1] + 1)

    def insert(self, moment: int) -> None:
        self._next += 1
        self.rows[self._next] = (moment, 0)

    def _maybe_change(self) -> bool:
        if self.rng.random() >= self.manners.changes:
            return False
        for _ in range(self.rng.randint(1, 3)):
            self.change()
        return True

    def _slice(self, request: PageRequest) -> list[SourceRow]:
        ordered = sorted(self.rows.items(), key=self._order, reverse=not self.manners.oldest_first)
        start = 0 if self.manners.ignores_start else max(0, request.start - self.manners.base)
        length = min(request.length, self.manners.cap) + self.manners.one_too_many
        return [source_row(key, *row) for key, row in ordered[start : start + length]]

    def _order(self, item: tuple[int, tuple[int, int]]) -> tuple[int, float]:
        key, (moment, _) = item
        return moment, self.rng.random() if self.manners.shuffles_ties else float(key)

    def _total(self) -> int | None:
        lie = self.manners.lie
        if lie is None:
            return None
        if self.manners.lies_randomly:
            lie = self.rng.randint(-3, 3)
        return max(0, len(self.rows) + lie)


@cache
def source_row(key: int, moment: int, version: int) -> SourceRow:
    digest = (key * _VERSIONS + version).to_bytes(16)
    return SourceRow((key,), f"2026-03-01T{moment:06d}", digest, b"")


def version_of(row: SourceRow) -> int:
    """The version in which a row was served."""
    return int.from_bytes(row.digest) % _VERSIONS
