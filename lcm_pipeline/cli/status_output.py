"""What `lcm status` prints: the state of each feed, the conventions, and the requested lists."""

from collections.abc import Sequence
from datetime import date

from lcm_pipeline.cli.output import (
    LONGEST_REASON,
    console,
    new_table,
    print_line,
    print_table,
    print_unwrapped,
)
from lcm_pipeline.model.texts import counted, join_names, shorten
from lcm_pipeline.warehouse.status import (
    Convention,
    FeedOverview,
    RunSummary,
    WarehouseStatus,
)


def print_status(
    status: WarehouseStatus, yesterday: date, *, warehouse: str, settings: str
) -> None:
    """Print what the warehouse contains, feed by feed, and the requested lists."""
    print_line(f"warehouse  {warehouse}")
    print_line(f"settings   {settings}")
    print_line(f"last run   {_last_run_sentence(status.last_run)}")
    console.print()
    _print_feeds(status.feeds, yesterday)
    console.print(f"behind: days through yesterday, {yesterday}. Times are UTC.", highlight=False)
    if status.marts_behind:
        print_unwrapped(
            f"marts older than the facts or mart.parameters: {len(status.marts_behind):,}; reports"
            " and dashboards show earlier numbers. lcm marts refreshes them; if totals differ, run"
            " lcm verify --all --fix first"
        )
    if status.retired_count and status.retired is None:
        print_line(
            f"retired: {status.retired_count:,}, whom the source no longer knows"
            " (lcm status --retired lists them)"
        )
    if status.unmapped_lead_statuses:
        names = join_names(status.unmapped_lead_statuses)
        print_unwrapped(f"lead statuses neither new nor closed: {names}")
    _print_conventions(status.conventions or [])
    _print_lists(status)


def _print_feeds(feeds: Sequence[FeedOverview], yesterday: date) -> None:
    has_deferred = any(feed.deferred for feed in feeds)
    deferred = ["deferred"] if has_deferred else []
    table = new_table(
        "",
        "complete\nthrough",
        "behind",
        "rows\nheld",
        "pending",
        *deferred,
        "quaran-\ntined",
        "published",
    )
    for feed in feeds:
        days = feed.days_behind(yesterday)
        behind = "all days" if days is None else counted(days, "day")
        table.add_row(
            feed.feed,
            str(feed.complete_through or "-"),
            "-" if days == 0 else behind,
            f"{feed.rows:,}",
            f"{feed.pending:,}",
            *([f"{feed.deferred:,}"] if has_deferred else []),
            f"{feed.quarantined:,}",
            f"{feed.published_at:%Y-%m-%d}" if feed.published_at else "-",
        )
    print_table(table)


def _last_run_sentence(run: RunSummary | None) -> str:
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
        # Or its steps wait for a worker, which only the command that started them knows.
        return f"{sentence}; no process works on it now. If its lcm sync has ended, start it again"
    return f"{sentence}: {shorten(run.error, LONGEST_REASON)}" if run.error else sentence


def _print_conventions(conventions: Sequence[Convention]) -> None:
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
        name, used = convention.convention, convention.used
        share = f"{convention.share or 0:.0%} of {convention.votes:,}"
        votes = f"votes for {convention.detected}: {share}"
        if convention.doubt == "contradicted":
            doubt = f"contradicts the rows: {used} is used ({convention.source}), {votes}"
        elif convention.doubt == "undecided":
            doubt = f"is undecided ({votes}); {used} is used by default"
        else:
            continue
        setting = f" (mart.parameters.{convention.parameter})" if convention.parameter else ""
        line = f"convention {name} {doubt}{setting}"
        console.print(line, style="yellow", highlight=False, soft_wrap=True)


def _print_lists(status: WarehouseStatus) -> None:
    """Print the requested lists, one line per task, row or client, for grep and cut."""
    if status.pending is not None:
        console.print(f"\npending: {len(status.pending):,}", highlight=False)
    for task in status.pending or ():
        who = f"day {task.day}" if task.client_id is None else f"client {task.client_id}"
        since = f"{task.since:%Y-%m-%d %H:%M} UTC" if task.since else "ever"
        print_unwrapped(
            f"  {who}  {task.feed}  since {since}: {shorten(task.reason, LONGEST_REASON)}"
        )
    if status.quarantine is not None:
        console.print(f"\nin quarantine: {len(status.quarantine):,}", highlight=False)
    for row in status.quarantine or ():
        who = f"day {row.day}" if row.day else "client unknown"
        who = who if row.client_id is None else f"client {row.client_id}"
        of = f" ({shorten(row.context)})" if row.context else ""
        where = f"{row.feed}  {row.table_name}{of}  since {row.since:%Y-%m-%d %H:%M} UTC"
        print_unwrapped(f"  {who}  {where}: {shorten(row.reason, LONGEST_REASON)}")
    if status.retired is not None:
        console.print(f"\nretired: {len(status.retired):,}", highlight=False)
    for client in status.retired or ():
        current = client.current_client_id
        owner = f", its cards are client {current}'s" if current else ""
        error = f": {shorten(client.last_error, LONGEST_REASON)}" if client.last_error else ""
        since = f"since {client.since:%Y-%m-%d %H:%M} UTC"
        print_unwrapped(f"  client {client.client_id}  {client.reason}  {since}{owner}{error}")
