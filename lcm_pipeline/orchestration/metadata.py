"""What a run says about itself in the UI. Counts and a preview; no personal data, no secret."""

import dagster as dg

from lcm_pipeline.orchestration.resources import SyncSession
from lcm_pipeline.sync.reports import SyncReport


def described(session: SyncSession, report: SyncReport, table: str) -> dg.MaterializeResult[None]:
    """The result of the asset that is a core table: what was done, and a look at it."""
    return dg.MaterializeResult(
        asset_key=table if table != "registrations" else "clients",
        metadata={
            **_counts(report),
            "preview": dg.MetadataValue.md(_as_markdown(session, report, table)),
        },
    )


def _counts(report: SyncReport) -> dict[str, dg.MetadataValue]:
    counts = {
        "rows read": report.rows_read,
        "rows written": report.rows_written,
        "rows deleted": report.rows_deleted,
        "rows in quarantine": report.quarantined,
        "clients" if report.feed != "registrations" else "days": report.clients,
        "done": report.clients - report.pending,
        "pending": report.pending,
        "requests": report.requests,
        "retries": report.retries,
    }
    return {
        "window": dg.MetadataValue.text(str(report.window)),
        **{name: dg.MetadataValue.int(count) for name, count in counts.items()},
        "seconds": dg.MetadataValue.float(round(report.seconds, 1)),
        "resumed": dg.MetadataValue.bool(report.is_resumed),
        "unknown fields": dg.MetadataValue.text(", ".join(report.unknown_fields) or "none"),
    }


def _as_markdown(session: SyncSession, report: SyncReport, table: str) -> str:
    rows = session.preview(table, report.window)
    return rows.to_markdown(index=False) if len(rows) else "No rows on these days."
