"""`lcm status`: what the warehouse holds, how far it is behind, and what is wrong with it."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import typer

from lcm_pipeline.cli.failures import DONE, FAILED, INCOMPLETE
from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.output import print_status
from lcm_pipeline.settings import Settings, env_file, load_settings
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.status import WarehouseStatus, read_status

_WORDS = {DONE: "complete", FAILED: "failed", INCOMPLETE: "incomplete"}


def status(
    pending: Annotated[
        bool, typer.Option("--pending", help="List who is pending: client, feed, since when, why.")
    ] = False,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine", help="List rows in quarantine: whose, since when, which field."
        ),
    ] = False,
    retired: Annotated[
        bool,
        typer.Option("--retired", help="List clients whom the source no longer knows, and why."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for monitoring.")
    ] = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="End with 0 when complete through yesterday, 3 when not, 1 when a run failed.",
        ),
    ] = False,
) -> None:
    """Show, for each feed, the last complete day, its rows, and what is pending.

    Also which warehouse and which settings file that is about, how many days it is behind yesterday
    (in LCM_TIMEZONE), how the last run ended, and which statuses of leads mart.parameters takes
    for neither new nor closed. It changes nothing, makes nothing and asks the
    API nothing, so it works for a login that may only read, and on a standby.

    With --exit-code: 0 every feed is complete through yesterday, 1 the newest run of a feed failed,
    was killed or was stopped by a fuse, 3 behind, pending or in quarantine. Without it 0.
    """
    settings = load_settings()
    with open_warehouse(settings, is_read_only=True) as warehouse:
        found = read_status(
            warehouse, lists_pending=pending, lists_quarantine=quarantine, lists_retired=retired
        )
    yesterday = datetime.now(settings.zone).date() - timedelta(days=1)
    code = _code_of(found, yesterday, settings)
    if as_json:
        print_json(_as_json(settings, warehouse, found, yesterday=yesterday, code=code))
    else:
        print_status(found, yesterday, warehouse=_place(settings, warehouse), settings=_env_file())
    if exit_code and code:
        raise typer.Exit(code)


def _code_of(found: WarehouseStatus, yesterday: date, settings: Settings) -> int:
    if any(run.has_failed for run in found.last_runs):
        return FAILED
    is_complete = found.is_complete(yesterday, settings.max_staleness_days)
    return DONE if is_complete else INCOMPLETE


def _place(settings: Settings, warehouse: Warehouse) -> str:
    if warehouse.is_embedded:
        return f"embedded, in {settings.home_path} (LCM_HOME)"
    return f"{warehouse.place} (LCM_DATABASE_URL)"


def _env_file() -> str:
    path = env_file()
    return str(path) if path else "the environment alone: no .env in this folder"


def _as_json(
    settings: Settings, warehouse: Warehouse, found: WarehouseStatus, *, yesterday: date, code: int
) -> dict[str, Any]:
    """The report for machines: days and times in ISO 8601, times in UTC, missing values null."""
    behind = [feed.days_behind(yesterday) for feed in found.feeds]
    known = [days for days in behind if days is not None]
    runs = {run.feed: run for run in found.last_runs}
    report: dict[str, Any] = {
        "state": _WORDS[code],
        "exit_code": code,
        "warehouse": warehouse.place,
        "home": settings.home_path if warehouse.is_embedded else None,
        "settings_file": env_file(),
        "checked_at": datetime.now(UTC),
        "timezone": settings.timezone,
        "yesterday": yesterday,
        "days_behind": max(known) if len(known) == len(behind) and known else None,
        "last_run": found.last_run,
        "retired_clients": found.retired_count,
        "feeds": [
            {
                "feed": feed.feed,
                "complete_through": feed.complete_through,
                "last_day": feed.last_day,
                "days_behind": feed.days_behind(yesterday),
                "rows": feed.rows,
                "pending": feed.pending,
                "deferred": feed.deferred,
                "quarantined": feed.quarantined,
                "published_at": feed.published_at,
                "last_run": runs.get(feed.feed),
            }
            for feed in found.feeds
        ],
        "unmapped_lead_statuses": found.unmapped_lead_statuses,
    }
    if found.pending is not None:
        report["pending"] = found.pending
    if found.quarantine is not None:
        report["quarantine"] = found.quarantine
    if found.retired is not None:
        report["retired"] = found.retired
    return report
