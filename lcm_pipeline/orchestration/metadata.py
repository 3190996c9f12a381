"""The metadata of a run in the UI: counts and a preview, without personal data or secrets."""

import re
from typing import Any

import dagster as dg
from tabulate import tabulate

from lcm_pipeline.feeds import feed_named
from lcm_pipeline.model.texts import join_names, shorten
from lcm_pipeline.orchestration.assets.profile_updates import profile_updates
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.sync.report import ReaderReport, SyncReport
from lcm_pipeline.warehouse.access.sample_rows import sample_rows
from lcm_pipeline.warehouse.outbox.pushes import PushReport

_LONGEST_REASON = 500
_MARKUP = re.compile(r"([\\`*_{}\[\]()#!|<>&~])")


def feed_metadata(sync: SyncResource, report: SyncReport, asset: str) -> dict[str, Any]:
    """The metadata of an asset of a feed: counts, and a few rows of the window's days."""
    feed = feed_named(report.feed)
    columns, rows = sync.session.run(
        lambda session: sample_rows(session, feed.table_of(asset), report.window)
    )
    # Texts of the source are shortened, and escaped for Markdown.
    cells = [
        [_MARKUP.sub(r"\\\1", shorten(cell)) if isinstance(cell, str) else cell for cell in row]
        for row in rows
    ]
    preview = tabulate(cells, columns, tablefmt="pipe") if rows else "No rows on these days."
    return {
        "window": str(report.window),
        "rows read": report.rows_read,
        "rows written": report.rows_written,
        "rows deleted": report.rows_deleted,
        "rows in quarantine": report.quarantined,
        f"{feed.unit}s": report.clients,
        "done": report.clients - report.pending,
        "pending": report.pending,
        "deferred": report.deferred,
        "requests": report.requests,
        "retries": report.retries,
        "seconds": round(report.seconds, 1),
        "resumed": report.is_resumed,
        "unknown fields": join_names(report.unknown_fields) or "none",
        "preview": dg.MetadataValue.md(preview),
    }


def reader_metadata(report: ReaderReport) -> dict[str, Any]:
    """The metadata of one reader of a run."""
    unit = feed_named(report.feed).unit
    return {
        f"{unit}s": report.tasks,
        "requests": report.requests,
        "rows read": report.rows,
        "seconds waited": round(report.waited_seconds, 1),
    }


def push_materialization(report: PushReport) -> dg.AssetMaterialization:
    """The results of a push: counts by status, without values or names."""
    counts = {
        "push": report.push_id,
        "sent": report.sent,
        "nothing to send": report.unchanged,
        "partial": report.partial,
        "rejected": report.rejected,
        "failed": report.failed,
        "no reply": report.unknown,
        "held back": report.held_back,
        "left": report.left_over,
        "requests": report.requests,
    }
    return dg.AssetMaterialization(
        profile_updates.key,
        metadata={
            **counts,
            "seconds": round(report.seconds, 1),
            "stopped": shorten(report.error or "no", _LONGEST_REASON),
        },
    )
