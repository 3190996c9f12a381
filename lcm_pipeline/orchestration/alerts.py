"""Alerts to mail, Slack, Telegram or a webhook (LCM_ALERT_URLS), and when to send them.

The only module that uses apprise. An alert states what happened and where to look. It contains
counts, days, and names of feeds, jobs and fields; no client, no row, and no text of the service.
"""

import copy
import logging
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import msgspec

from lcm_pipeline.files import existing_folder
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.texts import counted, join_names
from lcm_pipeline.orchestration.times import COMPLETE_BY_HOUR
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.status import WarehouseStatus

_LOW_DISK_BYTES = 2_000_000_000
# After these no alert is begun. One takes up to 30 s, where each of two hosts of a name is tried.
_BEGIN_SECONDS = 15.0
# apprise waits for 4: a webhook that works before it responds would get an alert again and again.
_RESPONSE_SECONDS = 15.0
_MAX_RECIPIENTS = 32


@dataclass(frozen=True)
class Alert:
    """One message. title: a line; body: what to do; field: that of the snapshot that shows it."""

    title: str
    body: str
    field: str = ""


class AlertError(UserError):
    """Alerts could not be sent to a recipient; the message names the address by position and kind.

    received: those that another recipient has received.
    """

    def __init__(self, message: str, *, received: Collection[Alert]) -> None:
        super().__init__(message)
        self.received = received


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
            field="stale_day",
        )
    if now.pending > before.pending:
        yield Alert(
            f"pending grew from {before.pending:,} to {now.pending:,}",
            "These clients or days have no proven reading: lcm status --pending lists them. The"
            " next sync reads them first.",
            field="pending",
        )
    if now.quarantined > before.quarantined:
        yield Alert(
            f"rows in quarantine grew from {before.quarantined:,} to {now.quarantined:,}",
            "They do not fit the payload definition: lcm status --quarantine shows which field.",
            field="quarantined",
        )
    if failed := set(now.failed_checks) - set(before.failed_checks):
        yield Alert(
            f"{counted(len(failed), 'check')} failed",
            f"{', '.join(sorted(failed))}. The marts were refreshed nevertheless: lcm ui shows what"
            " the check counted, lcm verify --all --fix reads again what differs from the source.",
            field="failed_checks",
        )
    if new := set(now.fields) - set(before.fields):
        yield Alert(
            f"the service sends {counted(len(new), 'new field')}",
            f"The payload definition lacks {join_names(new)}. Their values are stored in the column"
            " extra.",
            field="fields",
        )
    if now.stopped_run != before.stopped_run:
        yield Alert(
            f"a fuse stopped run {now.stopped_run}",
            "The publish would have deleted or added too much, so nothing of it was stored: lcm"
            " runs shows what. Check the source.",
            field="stopped_run",
        )
    if now.is_disk_low and not before.is_disk_low:
        yield Alert(
            "the disk is nearly full",
            "Free some space, or move LCM_HOME: lcm doctor.",
            field="is_disk_low",
        )
    if now.is_unreadable and not before.is_unreadable:
        yield Alert(
            "the warehouse cannot be read",
            "Until it can be, no other alert on its state is sent: lcm doctor shows why.",
            field="is_unreadable",
        )


def malformed_addresses(settings: Settings) -> list[int]:
    """The addresses of LCM_ALERT_URLS that apprise does not understand, by their position from 1.

    Nothing is sent. The addresses themselves contain passwords.
    """
    apprise = _load_apprise()
    addresses = enumerate(settings.alert_addresses(), start=1)
    return [number for number, address in addresses if not apprise.Apprise().add(address)]


def send(settings: Settings, alerts: Sequence[Alert]) -> None:
    """Send the alerts to each recipient of LCM_ALERT_URLS; raises AlertError when one lacks some.

    All recipients are served at the same time, so that one that does not respond neither silences
    nor delays the others, and the evaluation of a sensor, which may take a minute, does not expire.
    """
    if not alerts:
        return
    apprise = _load_apprise()
    deadline = time.monotonic() + _BEGIN_SECONDS

    def send_to(recipient: Any) -> list[Alert]:
        service = apprise.Apprise()
        service.add(recipient)
        return [
            alert
            for alert in alerts
            if time.monotonic() < deadline
            and service.notify(
                title=f"lcm: {alert.title}", body=alert.body, body_format=apprise.NotifyFormat.TEXT
            )
        ]

    addresses = settings.alert_addresses()
    failed, received = [], []
    with ThreadPoolExecutor(max_workers=_MAX_RECIPIENTS) as threads:
        attempts = [
            [threads.submit(send_to, recipient) for recipient in _recipients(apprise, address)]
            for address in addresses
        ]
    for number, (address, attempted) in enumerate(zip(addresses, attempts, strict=True), start=1):
        scheme, separator, _ = address.partition("://")
        # Without a scheme it may be a token that was put in the wrong place.
        kind = f"address {number}, {scheme if separator else 'an address without ://'}"
        sent = [attempt.result() for attempt in attempted]
        received += [alert for each in sent for alert in each]
        without = sum(len(each) < len(alerts) for each in sent)
        if not sent:
            failed.append(f"{kind} (no address that apprise understands)")
        elif without:
            share = f" to {without} of {len(sent)} recipients" if len(sent) > 1 else ""
            failed.append(f"{kind} (not delivered{share})")
    if failed:
        what = f"the alert {alerts[0].title!r}" if len(alerts) == 1 else f"{len(alerts)} alerts"
        raise AlertError(
            f"{what} could not be sent to {'; '.join(failed)}: docs/how-to/alerts.md says how to"
            " see why",
            received=received,
        )


def _recipients(apprise: ModuleType, address: str) -> list[Any]:
    """The services of apprise that an address names, one for each recipient of a mail or chat.

    A service with several recipients fails when one of them does. Sent again for that one, an alert
    would come again to all.
    """
    # A redirect is followed with an empty GET, whose response says nothing of the alert.
    asset = apprise.AppriseAsset(http_redirects=False)
    service = apprise.Apprise.instantiate(address, asset=asset)
    if service is None:
        return []
    service.socket_read_timeout = max(service.socket_read_timeout, _RESPONSE_SECONDS)
    targets = getattr(service, "targets", None)
    if not isinstance(targets, list) or len(targets) < 2:
        return [service]
    recipients = []
    for target in targets:
        recipient = copy.copy(service)
        recipient.targets = [target]
        recipients.append(recipient)
    return recipients


def _load_apprise() -> ModuleType:
    # Imported here: it takes longer than all other imports, and most processes send no alert.
    import apprise

    # Its log messages may quote an address, which contains a password.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    return apprise
