"""Alerts to mail, Slack, Telegram or a webhook (LCM_ALERT_URLS), and when to send them.

The only module that uses apprise. An alert states what happened and where to look. It contains
counts, days, and names of feeds, jobs and fields; no client, no row, and no text of the service.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType

import msgspec

from lcm_pipeline.files import existing_folder
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.texts import join_names
from lcm_pipeline.orchestration.times import COMPLETE_BY_HOUR
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.status import WarehouseStatus

_LOW_DISK_BYTES = 2_000_000_000


class AlertError(UserError):
    """An alert could not be sent; the message names the kind of the address, never the address.

    is_delivered: another address has received it.
    """

    def __init__(self, message: str, *, is_delivered: bool) -> None:
        super().__init__(message)
        self.is_delivered = is_delivered


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state at the last evaluation, so that an alert is sent once, when the state gets worse.

    stale_day: the day that was reported as not complete, in ISO 8601. stopped_run: the newest run
    that a fuse stopped. fields: names that the payload definition lacks. failed_checks: as
    `checks.results` names them. is_unreadable: the warehouse could not be read; the rest is
    as before then.
    """

    pending: int = 0
    quarantined: int = 0
    stale_day: str = ""
    stopped_run: int = 0
    fields: tuple[str, ...] = ()
    failed_checks: tuple[str, ...] = ()
    is_disk_low: bool = False
    is_unreadable: bool = False

    @classmethod
    def from_cursor(cls, cursor: str | None) -> "Snapshot | None":
        """Read a sensor's cursor; None before its first evaluation, or from another version."""
        try:
            return msgspec.json.decode(cursor or "null", type=cls | None)
        except msgspec.MsgspecError:
            return None

    def as_cursor(self) -> str:
        """The text that a sensor stores as its cursor."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True)
class Alert:
    """One message. title: a line; body: what to do."""

    title: str
    body: str


def take_snapshot(
    settings: Settings, status: WarehouseStatus, unknown: frozenset[str], failed: Sequence[str],
    before: Snapshot, now: datetime,
) -> Snapshot:  # fmt: skip
    """The current state of a warehouse that can be read.

    now: aware; unknown: FEED.FIELD that the payload definition lacks; failed: names of checks.
    """
    local = now.astimezone(settings.zone)
    yesterday = local.date() - timedelta(days=1)
    is_due = local.hour >= COMPLETE_BY_HOUR
    is_stale = is_due and not all(
        feed.is_current(yesterday, settings.max_staleness_days) for feed in status.feeds
    )
    stopped = [run.run_id for run in status.last_runs if run.state == "stopped"]
    return Snapshot(
        pending=sum(feed.pending for feed in status.feeds),
        quarantined=sum(feed.quarantined for feed in status.feeds),
        stale_day=str(yesterday) if is_stale else before.stale_day,
        stopped_run=max([before.stopped_run, *stopped]),
        fields=tuple(sorted(unknown)),
        failed_checks=tuple(failed),
        is_disk_low=shutil.disk_usage(existing_folder(settings.home_path)).free < _LOW_DISK_BYTES,
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
    if failed := set(now.failed_checks) - set(before.failed_checks):
        yield Alert(
            f"{len(failed)} check{'' if len(failed) == 1 else 's'} failed",
            f"{', '.join(sorted(failed))}. The marts were refreshed nevertheless: lcm ui shows what"
            " the check counted, lcm verify --all --fix reads again what differs from the source.",
        )
    if new := set(now.fields) - set(before.fields):
        yield Alert(
            f"the service sends {len(new)} new field{'' if len(new) == 1 else 's'}",
            f"The payload definition lacks {join_names(new)}. Their values are stored in the column"
            " extra.",
        )
    if now.stopped_run != before.stopped_run:
        yield Alert(
            f"a fuse stopped run {now.stopped_run}",
            "The publish would have deleted or added too much, so nothing of it was stored: lcm"
            " runs shows what. Check the source.",
        )
    if now.is_disk_low and not before.is_disk_low:
        yield Alert("the disk is nearly full", "Free some space, or move LCM_HOME: lcm doctor.")
    if now.is_unreadable and not before.is_unreadable:
        yield Alert(
            "the warehouse cannot be read",
            "Until it can be, no other alert on its state is sent: lcm doctor shows why.",
        )


def malformed_addresses(settings: Settings) -> list[int]:
    """The addresses of LCM_ALERT_URLS that apprise does not understand, by their position from 1.

    Nothing is sent. The addresses themselves contain passwords.
    """
    apprise = _load_apprise()
    addresses = enumerate(settings.alert_addresses(), start=1)
    return [number for number, address in addresses if not apprise.Apprise().add(address)]


def send(settings: Settings, alert: Alert) -> None:
    """Send the alert to each address of LCM_ALERT_URLS; raises AlertError when one fails.

    All addresses are tried, so that one that fails does not silence the others.
    """
    apprise = _load_apprise()
    addresses = settings.alert_addresses()
    failed = []
    for address in addresses:
        scheme, separator, _ = address.partition("://")
        # Without a scheme it may be a token that was put in the wrong place.
        kind = scheme if separator else "an address without ://"
        service = apprise.Apprise()
        if not service.add(address):
            failed.append(f"{kind} (no address that apprise understands)")
        elif not service.notify(title=f"lcm: {alert.title}", body=alert.body):
            failed.append(f"{kind} (not delivered)")
    if failed:
        raise AlertError(
            f"the alert {alert.title!r} could not be sent to {', '.join(failed)}: check"
            " LCM_ALERT_URLS and that the service can be reached",
            is_delivered=len(failed) < len(addresses),
        )


def _load_apprise() -> ModuleType:
    # Imported here: it takes longer than all other imports, and most processes send no alert.
    import apprise

    # Its log messages may quote an address, which contains a password.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    return apprise
