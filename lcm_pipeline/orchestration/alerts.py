"""Alerts to mail, Slack, Telegram or a webhook (LCM_ALERT_URLS), and when to send them.

The only module that uses apprise. An alert states what happened and where to look. It contains
counts, days, and names of feeds, jobs and fields; no client, no row, and no text of the service.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.texts import shown_names
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.status import WarehouseStatus

# The schedule starts at six, so yesterday should be complete by nine.
_STALE_AFTER_HOUR = 9
_LOW_DISK_BYTES = 2_000_000_000


class AlertError(UserError):
    """An alert could not be sent; the message names the kind of the address, never the address."""


@dataclass(frozen=True)
class Snapshot:
    """The state at the last evaluation, so that an alert is sent once, when the state gets worse.

    stale_day: the day that was reported as not complete, in ISO 8601. stopped_run: the newest run
    that a fuse stopped. fields: names that the payload definition lacks.
    """

    pending: int = 0
    quarantined: int = 0
    stale_day: str = ""
    stopped_run: int = 0
    fields: tuple[str, ...] = ()
    is_disk_low: bool = False

    @classmethod
    def from_cursor(cls, cursor: str | None) -> "Snapshot | None":
        """Read a sensor's cursor; None before its first evaluation, or from another version."""
        try:
            stored = json.loads(cursor or "null")
        except ValueError:
            return None
        names = {field.name for field in fields(cls)}
        if not isinstance(stored, dict) or not stored.keys() <= names:
            return None
        return cls(**{**stored, "fields": tuple(stored.get("fields", ()))})

    def as_cursor(self) -> str:
        """The text that a sensor stores as its cursor."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Alert:
    """One message. title: a line; body: what to do."""

    title: str
    body: str


def take_snapshot(
    settings: Settings, status: WarehouseStatus, unknown: frozenset[str], before: Snapshot,
    now: datetime,
) -> Snapshot:  # fmt: skip
    """The current state. now: aware; unknown: FEED.FIELD that the payload definition lacks."""
    local = now.astimezone(settings.zone)
    yesterday = local.date() - timedelta(days=1)
    is_due = local.hour >= _STALE_AFTER_HOUR
    is_stale = is_due and not all(
        feed.complete_through is not None
        and feed.complete_through >= yesterday - timedelta(days=settings.max_staleness_days)
        for feed in status.feeds
    )
    home = settings.home_path
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    stopped = [run.run_id for run in status.last_runs if run.state == "stopped"]
    return Snapshot(
        pending=sum(feed.pending for feed in status.feeds),
        quarantined=sum(feed.quarantined for feed in status.feeds),
        stale_day=str(yesterday) if is_stale else before.stale_day,
        stopped_run=max([before.stopped_run, *stopped]),
        fields=tuple(sorted(unknown)),
        is_disk_low=shutil.disk_usage(there).free < _LOW_DISK_BYTES,
    )


def compare(before: Snapshot, now: Snapshot) -> Iterator[Alert]:
    """The alerts for what got worse since the last snapshot."""
    if now.stale_day != before.stale_day:
        yield Alert(
            f"{now.stale_day} is not complete",
            "The day has ended and is not complete in every feed: lcm status shows why, and"
            " lcm sync --missing reads what is missing.",
        )
    if now.pending > before.pending:
        yield Alert(
            f"pending grew from {before.pending:,} to {now.pending:,}",
            "These clients or days have no proven reading: lcm status --pending lists them. The"
            " next sync reads them first.",
        )
    if now.quarantined > before.quarantined:
        yield Alert(
            f"rows in quarantine grew from {before.quarantined:,} to {now.quarantined:,}",
            "They do not fit the payload definition: lcm status --quarantine shows which field.",
        )
    if new := set(now.fields) - set(before.fields):
        yield Alert(
            f"the contract drifted: {len(new)} new field{'' if len(new) == 1 else 's'}",
            f"The service sends fields that the payload definition lacks: {shown_names(new)}. They"
            " are stored in the column extra.",
        )
    if now.stopped_run != before.stopped_run:
        yield Alert(
            f"a fuse stopped run {now.stopped_run}",
            "The publish would have deleted or added too much, so nothing of it was stored: lcm"
            " runs shows what. Check the source.",
        )
    if now.is_disk_low and not before.is_disk_low:
        yield Alert("the disk is nearly full", "Free some space, or move LCM_HOME: lcm doctor.")


def send(settings: Settings, alert: Alert) -> None:
    """Send the alert to each address of LCM_ALERT_URLS; raises AlertError when one fails.

    All addresses are tried, so that one that fails does not silence the others.
    """
    # Imported here: it takes longer than all other imports, and most processes send no alert.
    import apprise

    addresses = settings.alert_addresses()
    # Its log messages may quote an address, which contains a password.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    failed = []
    for address in addresses:
        kind = address.partition(":")[0]
        one = apprise.Apprise()
        if not one.add(address):
            failed.append(f"{kind} (no address that apprise understands)")
        elif not one.notify(title=f"lcm: {alert.title}", body=alert.body):
            failed.append(f"{kind} (not delivered)")
    if failed:
        raise AlertError(
            f"the alert {alert.title!r} could not be sent to {', '.join(failed)}: check"
            " LCM_ALERT_URLS and that the service can be reached"
        )
