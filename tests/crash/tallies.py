"""The counts of a harness, by point or by kind, and the table that it prints."""

from dataclasses import dataclass, field


@dataclass
class Line:
    """Counts of one point (or kind). again: most readings requested again after one strike."""

    strikes: int = 0
    reruns: int = 0
    lost: int = 0
    doubled: int = 0
    half: int = 0
    again: int = 0
    again_after_crash: int = 0


@dataclass
class Table:
    """Lines by name, and the cases that went wrong, each with how to reproduce it."""

    lines: dict[str, Line] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def line(self, name: str) -> Line:
        """The line of a point or kind; it is added if it is missing."""
        return self.lines.setdefault(name, Line())

    def show(self, first: str) -> str:
        """The table as text, with sums."""
        names = (
            first, "strikes", "reruns", "lost", "doubled", "half-published",
            "requested again", "after a crash",
        )  # fmt: skip
        rows = [(name, *vars(line).values()) for name, line in self.lines.items()]
        sums = [sum(row[number] for row in rows) for number in range(1, 6)]
        most = [max((row[number] for row in rows), default=0) for number in (6, 7)]
        rows.append(("together", *sums, *most))
        width = max(len(str(row[0])) for row in rows)
        written = [names, *rows]
        return "\n".join(
            str(row[0]).ljust(width)
            + "".join(str(v).rjust(len(n) + 2) for v, n in zip(row[1:], names[1:], strict=True))
            for row in written
        )
