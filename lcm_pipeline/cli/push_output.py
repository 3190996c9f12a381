"""What `lcm push` prints: the outcome of a push, a preview, rejected rows, an undo."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from lcm_pipeline.cli.output import LONGEST_REASON, console, new_table, print_line, print_table
from lcm_pipeline.model.profiles import UpdateFile
from lcm_pipeline.model.texts import counted, shorten, strip_control_characters
from lcm_pipeline.push.preview import PlannedUpdate, Preview
from lcm_pipeline.warehouse.outbox.pushes import PushReport, Reason
from lcm_pipeline.warehouse.outbox.waiting import StuckUpdate

# Only for annotations: not every push is an undo.
if TYPE_CHECKING:
    from lcm_pipeline.warehouse.outbox.undo import Undo

_MAX_RANGES = 40
_MAX_OBSTACLES = 30


def print_push(report: PushReport, reasons: Sequence[Reason], stuck: Sequence[StuckUpdate]) -> None:
    """Print the outcomes of the updates of a push, with their reasons."""
    table = new_table("push", "sent", "nothing\nto send", "partial", "rejected", "failed",
                      "no\nreply", "held\nback", "left", "re-\nquests", "seconds")  # fmt: skip
    counts = (report.push_id, report.sent, report.unchanged, report.partial, report.rejected,
              report.failed, report.unknown, report.held_back, report.left_over,
              report.requests)  # fmt: skip
    table.add_row(*(f"{count:,}" for count in counts), f"{report.seconds:.1f}")
    print_table(table)
    for reason in reasons:
        print_line(
            f"{reason.updates:,} x {reason.status}: {shorten(reason.reason, LONGEST_REASON)}"
            f" (update {reason.first_update_id} is the first)"
        )
    for update in stuck:
        why = shorten(update.last_error or "its response was lost", LONGEST_REASON)
        print_line(
            f"update {update.update_id} of client {update.client_id} is {update.status} after"
            f" {counted(update.attempts, 'attempt')} and holds back"
            f" {update.behind:,} of the same client: {why}. The next lcm push sends it first"
        )


def print_preview(preview: Preview) -> None:
    """Print what a push would send, and what it would reject."""
    table = new_table("field", "would be sent", "as last sent", "rejected")
    names = {*preview.sent_fields, *preview.unchanged_fields, *preview.rejected_fields}
    for name in sorted(names):
        counts = (preview.sent_fields, preview.unchanged_fields, preview.rejected_fields)
        table.add_row(name, *(f"{count[name]:,}" for count in counts))
    print_table(table)
    console.print(
        f"updates: {preview.to_send:,} would be sent, {preview.unchanged:,} with nothing to send,"
        f" {preview.rejected:,} would be rejected"
    )
    for update in preview.listed_to_send:
        columns = ", ".join(update.columns)
        print_line(f"  {update.name}, client {update.client_id}: would be sent: {columns}")
    if preview.to_send > len(preview.listed_to_send):
        more = preview.to_send - len(preview.listed_to_send)
        console.print(f"  … and {more:,} more would be sent")
    for reason, rejects in sorted(preview.reasons.items(), key=lambda item: -item[1].count):
        where = _ranges("update", rejects.updates) + _ranges("line", rejects.lines)
        text = f"{rejects.count:,} x {shorten(reason, LONGEST_REASON)} ({'; '.join(where)})"
        console.print(strip_control_characters(text), markup=False, emoji=False, soft_wrap=True)


def print_values(listed: Sequence[PlannedUpdate], count: int) -> None:
    """Print the values of the first updates that would be sent; only for the user's terminal."""
    columns = list(dict.fromkeys(column for update in listed for column in update.columns))
    table = new_table("", "client", *columns)
    for update in listed:
        values = (update.values.get(column, "") for column in columns)
        table.add_row(*(Text(str(cell)) for cell in (update.name, update.client_id, *values)))
    print_table(table)
    if count > len(listed):
        console.print(f"… and {count - len(listed):,} more")


def print_rejected_rows(file: UpdateFile) -> None:
    """Print all rows of a file that could not be read, grouped by reason."""
    for is_stored in (True, False):
        lines: dict[str, list[int]] = {}
        for row in file.rejected_rows:
            if (file.client_of(row) is not None) is is_stored:
                for error in row.errors:
                    lines.setdefault(str(error), []).append(row.line)
        what = "rejected" if is_stored else "not stored, as the client cannot be read"
        for reason, of_reason in sorted(lines.items(), key=lambda item: -len(item[1])):
            where = "; ".join(_ranges("line", of_reason))
            console.print(
                f"{len(of_reason):,} x {what}: {reason} ({where})", markup=False, soft_wrap=True
            )


def _ranges(what: str, numbers: Sequence[int]) -> list[str]:
    """Format ascending numbers as `line 3` or `lines 3, 5-7`; an empty list if there are none.

    On a terminal only the first ranges are listed, in a file or a pipe all.
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    most = _MAX_RANGES if console.is_terminal else len(runs)
    shown_runs = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:most]]
    if len(runs) > most:
        shown_runs.append(f"… and {len(runs) - most:,} more: send the output to a file to see all")
    plural = "" if len(numbers) == 1 else "s"
    return [f"{what}{plural} {', '.join(shown_runs)}"] if shown_runs else []


def print_undo(undo: "Undo") -> None:
    """Print what an undo restores, and what it cannot restore."""
    if undo.is_resumed:
        console.print(f"the undo of push {undo.push_id} was already started and continues")
    elif undo.values:
        fields = sum(len(values) for values in undo.values.values())
        console.print(
            f"push {undo.push_id}: fields to put back: {fields:,}, of clients: {len(undo.values):,}"
        )
    elif not undo.obstacles:
        console.print(f"push {undo.push_id} changed nothing that can be restored")
    if undo.obstacles:
        console.print(f"fields that cannot be restored: {len(undo.obstacles):,}")
        for obstacle in undo.obstacles[:_MAX_OBSTACLES]:
            why = shorten(obstacle.reason, LONGEST_REASON)
            print_line(f"  client {obstacle.client_id}, {obstacle.column}: {why}")
        if len(undo.obstacles) > _MAX_OBSTACLES:
            console.print(f"  … and {len(undo.obstacles) - _MAX_OBSTACLES:,} more")
