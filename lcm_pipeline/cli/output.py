"""Tables and messages for the terminal."""

import sys
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lcm_pipeline.model.texts import shown, shown_names, tame
from lcm_pipeline.settings import MOST_READERS

# Only for annotations: each command imports what it prints, and no more.
if TYPE_CHECKING:
    import pandas as pd

    from lcm_pipeline.model.profiles import UpdateFile
    from lcm_pipeline.push.preview import PlannedUpdate, Preview
    from lcm_pipeline.settings import Settings
    from lcm_pipeline.sync.plan import Plan
    from lcm_pipeline.sync.report import SyncReport
    from lcm_pipeline.sync.scale import ProgrammeSize, ScalePlan
    from lcm_pipeline.verify.verify import Verification
    from lcm_pipeline.warehouse.marts.refresh import MartRefresh
    from lcm_pipeline.warehouse.outbox.pushes import PushReport, Reason
    from lcm_pipeline.warehouse.outbox.undo import Undo
    from lcm_pipeline.warehouse.outbox.waiting import StuckUpdate
    from lcm_pipeline.warehouse.status import (
        Convention,
        PendingTask,
        QuarantinedRow,
        RetiredClient,
        RunSummary,
        WarehouseStatus,
    )

# Lines are wrapped at the width of a terminal, but at a fixed one in a pipe or a file.
console = Console(width=None if sys.stdout.isatty() else 200)

_MAX_RANGES = 40
_MAX_ROWS = 30
_MAX_CELL_LENGTH = 200
_MAX_REASON_LENGTH = 500


def print_line(line: str) -> None:
    """Print a line that may contain texts of the source; nothing in it is read as markup."""
    console.print(tame(line), markup=False, emoji=False)


def print_unwrapped(line: str) -> None:
    """Print a line without wrapping it, so that it stays one line in a pipe."""
    console.print(tame(line), markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_reports(reports: Sequence["SyncReport"]) -> None:
    """Print the result of a sync per feed, in 80 columns, and below it what needs attention."""
    table = _table("", "clients\nor days", "pending", "rows\nread", "rows\nwritten", "requests",
                   "seconds")  # fmt: skip
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
    console.print(table)
    for report in reports:
        counts = {
            "clients deferred": report.deferred,
            "rows deleted": report.rows_deleted,
            "requests sent again": report.retries,
        }
        if extra := ", ".join(f"{count:,} {what}" for what, count in counts.items() if count):
            print_line(f"{report.feed}: {extra}")
        _print_warnings(report)


def print_plan(plan: "Plan") -> None:
    """Print the estimated cost of a window."""
    table = _table("", "clients", "deferred", "requests", "rows, about")
    for feed in plan.feeds:
        table.add_row(
            feed.feed,
            f"{feed.clients:,}",
            f"{feed.deferred:,}",
            f"{feed.requests:,}",
            f"{feed.rows:,}",
        )
    console.print(table)
    console.print(
        f"{plan.window}: about {plan.requests:,} requests, {plan.seconds:,.0f} s at the configured"
        f" rate and concurrency, with {plan.latency * 1000:.0f} ms per call as measured now"
        f" (planning sent {plan.sampled} requests)"
    )


def print_scale(
    programme: "ProgrammeSize", plan: "ScalePlan", rate: float, settings: "Settings"
) -> None:
    """Print the estimated cost of a programme of a given size."""
    table = _table("", "requests", "hours", "rows", "GB")
    for name, cost in (("first load", plan.first), ("daily sync", plan.daily)):
        hours = cost.time.total_seconds() / 3600
        table.add_row(
            name, f"{cost.requests:,}", f"{hours:,.1f}", f"{cost.rows:,}", f"{cost.disk / 1e9:,.2f}"
        )
    console.print(table)
    advice = f"LCM_READERS={plan.readers} with LCM_CONCURRENCY={settings.concurrency}"
    if plan.readers > MOST_READERS:
        advice = (
            f"{plan.readers:,} readers with LCM_CONCURRENCY={settings.concurrency}. LCM_READERS is"
            f" {MOST_READERS} at most: raise LCM_CONCURRENCY, or request less"
        )
    if settings.max_in_flight is not None and plan.in_flight > settings.max_in_flight:
        advice += (
            f". LCM_MAX_IN_FLIGHT={settings.max_in_flight} allows only"
            f" {settings.max_in_flight / programme.latency:g} requests a second"
        )
    console.print(
        f"{programme.clients:,} clients with {programme.operations:g} operations each, of which"
        f" {programme.active_share:.0%} have a new one on a day. {rate:g} requests a second at"
        f" {programme.latency * 1000:g} ms are {plan.in_flight:,} in flight: {advice}"
    )


def print_status(
    status: "WarehouseStatus", yesterday: date, *, warehouse: str, settings: str
) -> None:
    """Print what the warehouse contains, feed by feed, and the requested lists."""
    print_line(f"warehouse  {warehouse}")
    print_line(f"settings   {settings}")
    print_line(f"last run   {_last_run_sentence(status.last_run)}")
    console.print()
    has_deferred = any(feed.deferred for feed in status.feeds)
    deferred = ["deferred"] if has_deferred else []
    table = _table(
        "",
        "complete\nthrough",
        "behind",
        "rows\nheld",
        "pending",
        *deferred,
        "quaran-\ntined",
        "published",
    )
    for feed in status.feeds:
        table.add_row(
            feed.feed,
            str(feed.complete_through or "-"),
            _age(feed.days_behind(yesterday)),
            f"{feed.rows:,}",
            f"{feed.pending:,}",
            *([f"{feed.deferred:,}"] if has_deferred else []),
            f"{feed.quarantined:,}",
            f"{feed.published_at:%Y-%m-%d}" if feed.published_at else "-",
        )
    console.print(table)
    console.print(f"behind: days through yesterday, {yesterday}. Times are UTC.", highlight=False)
    if status.marts_behind:
        print_unwrapped(
            f"marts older than the facts or mart.parameters: {len(status.marts_behind):,}; reports"
            " and dashboards show what was before. lcm marts refreshes them; if totals differ,"
            " first: lcm verify --all --fix"
        )
    if status.retired_count and status.retired is None:
        print_line(
            f"retired: {status.retired_count:,}, whom the source no longer knows"
            " (lcm status --retired lists them)"
        )
    if status.unmapped_lead_statuses:
        names = shown_names(status.unmapped_lead_statuses)
        print_unwrapped(f"lead statuses neither new nor closed: {names}")
    _print_conventions(status.conventions or [])
    if status.pending is not None:
        _print_pending(status.pending)
    if status.quarantine is not None:
        _print_quarantine(status.quarantine)
    if status.retired is not None:
        _print_retired(status.retired)


def _print_conventions(conventions: "Sequence[Convention]") -> None:
    """Print which conventions were detected or set, and below it those in doubt."""
    if any(convention.source != "default" or convention.doubt for convention in conventions):
        console.print()
    for source, how in (("detected", "detected"), ("parameter", "set in mart.parameters")):
        found = [
            f"{convention.convention} = {convention.used}"
            for convention in conventions
            if convention.source == source
        ]
        if found:
            print_unwrapped(f"conventions {how}: {', '.join(found)}")
    for convention in conventions:
        if doubt := _doubt_about(convention):
            console.print(doubt, style="yellow", highlight=False, soft_wrap=True)


def _doubt_about(convention: "Convention") -> str | None:
    name, used = convention.convention, convention.used
    votes = f"{convention.share or 0:.0%} of {convention.votes:,} votes say {convention.detected}"
    setting = f" (mart.parameters.{convention.parameter})" if convention.parameter else ""
    if convention.doubt == "contradicted":
        return (
            f"convention {name} contradicts the rows: {used} is used ({convention.source}), {votes}"
            f"{setting}"
        )
    if convention.doubt == "undecided":
        return f"convention {name} is undecided: {votes}, {used} is used by default{setting}"
    return None


def print_runs(runs: "Sequence[RunSummary]") -> None:
    """Print runs, newest first, and below them the errors of those that failed."""
    table = _table("run", "feed", "days", "state", "began", "took", "rows\nread", "pending")
    for run in runs:
        days = str(run.first_day)
        if run.last_day != run.first_day:
            days += f"\n{run.last_day}"
        took = str(run.finished_at - run.started_at).partition(".")[0] if run.finished_at else "-"
        table.add_row(
            str(run.run_id),
            run.feed,
            days,
            run.state,
            f"{run.started_at:%Y-%m-%d\n%H:%M:%S}",
            took,
            f"{run.rows_read:,}",
            f"{run.pending:,}",
        )
    console.print(table)
    for run in runs:
        if run.error:
            print_unwrapped(f"run {run.run_id}, {run.feed}: {shown(run.error, _MAX_REASON_LENGTH)}")


def _last_run_sentence(run: "RunSummary | None") -> str:
    if run is None:
        return "none yet: lcm sync"
    days = (
        f"{run.first_day}"
        if run.first_day == run.last_day
        else f"{run.first_day} to {run.last_day}"
    )
    at = run.finished_at or run.started_at
    began = "" if run.finished_at else "begun "
    sentence = f"{run.state}: {run.feed} of {days}, {began}{at:%Y-%m-%d %H:%M} UTC"
    if run.state == "interrupted":
        return f"{sentence}; its process is gone, and the same lcm sync continues it"
    return f"{sentence}: {shown(run.error, _MAX_REASON_LENGTH)}" if run.error else sentence


def _age(days: int | None) -> str:
    if days is None:
        return "all days"
    return "-" if days == 0 else f"{days:,} day{'' if days == 1 else 's'}"


def _print_pending(pending: "Sequence[PendingTask]") -> None:
    """Print one line per task, for grep and cut: client or day, feed, since when, why."""
    console.print(f"\npending: {len(pending):,}", highlight=False)
    for task in pending:
        who = f"day {task.day}" if task.client_id is None else f"client {task.client_id}"
        since = f"{task.since:%Y-%m-%d %H:%M} UTC" if task.since else "ever"
        print_unwrapped(
            f"  {who}  {task.feed}  since {since}: {shown(task.reason, _MAX_REASON_LENGTH)}"
        )


def _print_quarantine(rows: "Sequence[QuarantinedRow]") -> None:
    """Print one line per row: client or day, feed, since when, which field does not fit."""
    console.print(f"\nin quarantine: {len(rows):,}", highlight=False)
    for row in rows:
        who = f"day {row.day}" if row.day else "client unknown"
        who = who if row.client_id is None else f"client {row.client_id}"
        of = f" ({shown(row.context)})" if row.context else ""
        where = f"{row.feed}  {row.table_name}{of}  since {row.since:%Y-%m-%d %H:%M} UTC"
        print_unwrapped(f"  {who}  {where}: {shown(row.reason, _MAX_REASON_LENGTH)}")


def _print_retired(clients: "Sequence[RetiredClient]") -> None:
    """Print one line per client: the rule, since when, and the last error of the service."""
    console.print(f"\nretired: {len(clients):,}", highlight=False)
    for client in clients:
        current = client.current_client_id
        owner = f", its cards are client {current}'s" if current else ""
        error = f": {shown(client.last_error, _MAX_REASON_LENGTH)}" if client.last_error else ""
        since = f"since {client.since:%Y-%m-%d %H:%M} UTC"
        print_unwrapped(f"  client {client.client_id}  {client.reason}  {since}{owner}{error}")


def print_refreshed(marts: Sequence["MartRefresh"]) -> None:
    """Print the rows and seconds of each mart, or that it was up to date."""
    table = _table("", "rows", "seconds")
    for mart in marts:
        if mart.is_skipped:
            table.add_row(f"mart.{mart.name}", "up to date", "")
        else:
            table.add_row(f"mart.{mart.name}", f"{mart.rows:,}", f"{mart.seconds:.1f}")
    console.print(table)


def print_verification(verification: "Verification") -> None:
    """Print which clients differ from the source, and in which rows."""
    console.print(
        f"read {verification.clients:,} clients from the API again,"
        f" compared {verification.rows:,} rows: {len(verification.differences):,} differ"
        f" ({verification.requests:,} requests)"
    )
    if verification.unproven:
        console.print(f"{verification.unproven:,} could not be read completely: not compared")
    if verification.differences:
        print_frame(verification.frame())


def print_push(
    report: "PushReport", reasons: "Sequence[Reason]", stuck: "Sequence[StuckUpdate]"
) -> None:
    """Print the outcomes of the updates of a push, with their reasons."""
    table = _table("push", "sent", "nothing\nto send", "partial", "rejected", "failed",
                   "no\nreply", "held\nback", "left", "re-\nquests", "seconds")  # fmt: skip
    counts = (report.push_id, report.sent, report.unchanged, report.partial, report.rejected,
              report.failed, report.unknown, report.held_back, report.left_over,
              report.requests)  # fmt: skip
    table.add_row(*(f"{count:,}" for count in counts), f"{report.seconds:.1f}")
    console.print(table)
    for reason in reasons:
        print_line(
            f"{reason.updates:,} x {reason.status}: {shown(reason.reason, _MAX_REASON_LENGTH)}"
            f" (update {reason.first_update_id} is the first)"
        )
    for update in stuck:
        why = shown(update.last_error or "its response was lost", _MAX_REASON_LENGTH)
        print_line(
            f"update {update.update_id} of client {update.client_id} is {update.status} after"
            f" {update.attempts} attempts and holds back {update.behind:,} of the same client:"
            f" {why}. The next lcm push sends it first"
        )


def print_preview(preview: "Preview") -> None:
    """Print what a push would send, and what it would reject."""
    table = _table("field", "would be sent", "as last sent", "rejected")
    names = {*preview.sent_fields, *preview.unchanged_fields, *preview.rejected_fields}
    for name in sorted(names):
        counts = (preview.sent_fields, preview.unchanged_fields, preview.rejected_fields)
        table.add_row(name, *(f"{count[name]:,}" for count in counts))
    console.print(table)
    console.print(
        f"updates: {preview.to_send:,} would be sent, {preview.unchanged:,} have nothing to send,"
        f" {preview.rejected:,} would be rejected"
    )
    _print_planned("would be sent", preview.to_send, preview.listed_to_send)
    for reason, rejects in sorted(preview.reasons.items(), key=lambda item: -item[1].count):
        where = _ranges("update", rejects.updates) + _ranges("line", rejects.lines)
        text = f"{rejects.count:,} x {shown(reason, _MAX_REASON_LENGTH)} ({'; '.join(where)})"
        console.print(tame(text), markup=False, emoji=False, soft_wrap=True)
    _print_planned("would be rejected", preview.rejected, preview.listed_rejected)


def print_values(listed: "Sequence[PlannedUpdate]", count: int) -> None:
    """Print the values of the first updates that would be sent; only for the user's terminal."""
    columns = list(dict.fromkeys(column for update in listed for column in update.columns))
    table = _table("", "client", *columns)
    for update in listed:
        values = (update.values.get(column, "") for column in columns)
        table.add_row(*(Text(str(cell)) for cell in (update.name, update.client_id, *values)))
    console.print(table)
    if count > len(listed):
        console.print(f"… and {count - len(listed):,} more")


def print_rejected_rows(file: "UpdateFile") -> None:
    """Print all rows of a file that could not be read, grouped by reason."""
    for is_stored in (True, False):
        lines: dict[str, list[int]] = {}
        for row in file.rejected_rows:
            if (file.client_of(row) is not None) is is_stored:
                for objection in row.objections:
                    lines.setdefault(str(objection), []).append(row.line)
        what = "rejected" if is_stored else "not stored, as the client cannot be read"
        for reason, of_reason in sorted(lines.items(), key=lambda item: -len(item[1])):
            where = "; ".join(_ranges("line", of_reason))
            console.print(
                f"{len(of_reason):,} x {what}: {reason} ({where})", markup=False, soft_wrap=True
            )


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
        for obstacle in undo.obstacles[:_MAX_ROWS]:
            why = shown(obstacle.reason, _MAX_REASON_LENGTH)
            print_line(f"  client {obstacle.client_id}, {obstacle.column}: {why}")
        if len(undo.obstacles) > _MAX_ROWS:
            console.print(f"  … and {len(undo.obstacles) - _MAX_ROWS:,} more")


def _print_planned(what: str, count: int, listed: "Sequence[PlannedUpdate]") -> None:
    for update in listed:
        text = "; ".join(update.reasons) or ", ".join(update.columns)
        whose = "" if update.client_id is None else f", client {update.client_id}"
        print_line(f"  {update.name}{whose}: {what}: {text}")
    if count > len(listed):
        console.print(f"  … and {count - len(listed):,} more {what}")


def _ranges(what: str, numbers: "Sequence[int]") -> list[str]:
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


def print_frame(frame: "pd.DataFrame") -> None:
    """Print the first rows of a DataFrame."""
    table = _table(*map(str, frame.columns))
    for row in frame.head(_MAX_ROWS).itertuples(index=False):
        table.add_row(*(Text(shown(str(value), _MAX_CELL_LENGTH)) for value in row))
    console.print(table)
    if len(frame) > _MAX_ROWS:
        console.print(f"… and {len(frame) - _MAX_ROWS:,} more")


def _print_warnings(report: "SyncReport") -> None:
    if report.pending:
        console.print(
            f"{report.feed}: {report.share_complete:.2%} complete, {report.pending:,} pending;"
            " they are read first next time (lcm status --pending shows why)"
        )
    if report.quarantined:
        console.print(
            f"{report.feed}: {report.quarantined:,} rows in sync.quarantine do not fit the payload"
            " definition (lcm status --quarantine shows why)"
        )
    if report.unknown_fields:
        names = shown_names(report.unknown_fields)
        print_line(f"{report.feed}: fields that the payload definition does not know: {names}")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
