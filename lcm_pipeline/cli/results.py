"""The results of syncs and verifications, which several commands print."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lcm_pipeline.cli.output import console, new_table, print_frame, print_line, print_table
from lcm_pipeline.model.texts import counted, join_names
from lcm_pipeline.sync.report import SyncReport

# Only for annotations: a sync needs no verification.
if TYPE_CHECKING:
    from lcm_pipeline.verify.verify import Verification


def print_reports(reports: Sequence[SyncReport]) -> None:
    """Print the result of a sync per feed, in 80 columns, and below it what needs attention."""
    table = new_table(
        "", "clients\nor days", "pending", "rows\nread", "rows\nwritten", "requests", "seconds"
    )
    for report in reports:
        table.add_row(
            report.feed,
            f"{report.clients:,}",
            f"{report.pending:,}",
            f"{report.rows_read:,}",
            f"{report.rows_written:,}",
            f"{report.requests:,}",
            f"{report.seconds:.1f}",
        )
    print_table(table)
    for report in reports:
        counts = {
            ("client", "deferred"): report.deferred,
            ("row", "deleted"): report.rows_deleted,
            ("request", "sent again"): report.retries,
        }
        parts = [
            f"{counted(count, noun)} {what}" for (noun, what), count in counts.items() if count
        ]
        if extra := ", ".join(parts):
            print_line(f"{report.feed}: {extra}")
        for line in what_is_incomplete(report):
            print_line(line)
        if report.unknown_fields:
            names = join_names(report.unknown_fields)
            print_line(f"{report.feed}: fields that the payload definition does not know: {names}")


def what_is_incomplete(report: SyncReport) -> Iterator[str]:
    """Yield a line for each reason why the report is not complete, with the command for more."""
    if report.pending:
        yield (
            f"{report.feed}: {report.share_complete:.2%} complete, {report.pending:,} pending;"
            " they are read first next time (lcm status --pending shows why)"
        )
    if report.quarantined:
        do = "does" if report.quarantined == 1 else "do"
        yield (
            f"{report.feed}: {counted(report.quarantined, 'row')} in sync.quarantine {do} not fit"
            " the payload definition (lcm status --quarantine shows why)"
        )


def print_verification(verification: "Verification") -> None:
    """Print which clients differ from the source, and in which rows."""
    differing = counted(len(verification.differences), "differs", "differ")
    console.print(
        f"read {counted(verification.clients, 'client')} from the API again, compared"
        f" {counted(verification.rows, 'row')}: {differing}"
        f" ({counted(verification.requests, 'request')})"
    )
    if verification.unproven:
        console.print(f"{verification.unproven:,} could not be read completely: not compared")
    if verification.differences:
        print_frame(verification.frame())
