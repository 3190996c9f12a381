"""`lcm status`: what the warehouse contains, how far it is behind, and what is incomplete."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from lcm_pipeline.cli.failures import DONE, FAILED, INCOMPLETE
from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.status_output import print_status
from lcm_pipeline.settings import Settings, env_file, load_settings
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.programme import require_time_zone
from lcm_pipeline.warehouse.status import WarehouseStatus, read_status

_STATES = {DONE: "complete", FAILED: "failed", INCOMPLETE: "incomplete"}


def status(
    pending: Annotated[
        bool,
        typer.Option("--pending", help="List pending reads: client or day, feed, since when, why."),
    ] = False,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine", help="List quarantined rows: client or day, since when, which field."
        ),
    ] = False,
    retired: Annotated[
        bool,
        typer.Option("--retired", help="List clients that the source no longer knows, and why."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for monitoring.")
    ] = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="Exit with 0 if complete through yesterday, 3 if not, 1 if a run failed.",
        ),
    ] = False,
) -> None:
    """Show the last complete day, the rows and the pending reads of each feed.

    Also shows which warehouse and settings file are used, how many days each feed is behind
    yesterday (in LCM_TIMEZONE), how the last run ended, which lead statuses are neither new nor
    closed in mart.parameters, and which conventions of mart.conventions were detected or set, with
    those that the rows do not decide or contradict. It changes nothing and makes no request to the
    API, so a login that may only read is enough, also on a standby. Rows held are those of a feed's
    main table.

    With --exit-code: 0 if every feed is complete through yesterday, 1 if the newest run of a feed
    failed, was killed or was stopped by a fuse, 3 if a feed is behind, something is pending or in
    quarantine, or marts are older than the facts. Without it the exit code is 0.
    """
    settings = load_settings()
    with open_warehouse(settings, is_read_only=True) as warehouse:
        found = read_status(
            warehouse,
            lists_pending=pending,
            lists_quarantine=quarantine,
            lists_retired=retired,
            compares_marts=True,
        )
        require_time_zone(warehouse, settings)
    yesterday = settings.yesterday()
    code = status_exit_code(found, yesterday, settings)
    if as_json:
        print_json(_as_json(settings, warehouse, found, yesterday=yesterday, code=code))
    else:
        if warehouse.is_embedded:
            place = f"embedded, in {settings.home_path} (LCM_HOME)"
        else:
            place = f"{warehouse.location} (LCM_DATABASE_URL)"
        file = str(env_file() or "the environment only: no .env in this folder")
        print_status(found, yesterday, warehouse=place, settings=file)
    if exit_code and code:
        raise typer.Exit(code)


def status_exit_code(found: WarehouseStatus, yesterday: date, settings: Settings) -> int:
    """Return the exit code of `lcm status --exit-code`. yesterday: in LCM_TIMEZONE."""
    if any(run.has_failed for run in found.last_runs):
        return FAILED
    is_complete = found.is_complete(yesterday, settings.max_staleness_days)
    return DONE if is_complete and not found.marts_behind else INCOMPLETE


def _as_json(
    settings: Settings, warehouse: Warehouse, found: WarehouseStatus, *, yesterday: date, code: int
) -> dict[str, Any]:
    """Return the JSON report: dates and times in ISO 8601, times in UTC, missing values null."""
    behind = [feed.days_behind(yesterday) for feed in found.feeds]
    known = [days for days in behind if days is not None]
    runs = {run.feed: run for run in found.last_runs}
    report: dict[str, Any] = {
        "state": _STATES[code],
        "exit_code": code,
        "warehouse": warehouse.location,
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
                **vars(feed),
                "days_behind": feed.days_behind(yesterday),
                "last_run": runs.get(feed.feed),
            }
            for feed in found.feeds
        ],
        "marts_behind": found.marts_behind,
        "unmapped_lead_statuses": found.unmapped_lead_statuses,
        "conventions": found.conventions,
    }
    listed = {
        "pending": found.pending, "quarantine": found.quarantine, "retired": found.retired,
    }  # fmt: skip
    return report | {name: rows for name, rows in listed.items() if rows is not None}
