"""A round of clients: syncs the next day with mutated responses, compares, and syncs again.

A mutant may not affect another client; an invalid response leaves its client pending and its rows
unchanged; after another sync without mutants, everything is exact.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lcm_pipeline.feeds import CLIENT_FEEDS, REGISTRATIONS, feed_named
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.fuzz.drawing import HARMLESS
from tests.fuzz.mutations import Mutant
from tests.fuzz.scene import (
    FEED_OF_ENDPOINT,
    FEED_OF_TABLE,
    SECOND,
    Finding,
    Options,
    Played,
    Scene,
    Subject,
    differences_from,
    failure_of,
    hasty,
    phones_of,
    rows_of,
)
from tests.fuzz.server import Key, Orders
from tests.fuzz.verdicts import Verdict
from tests.oracle import Difference
from tests.reconciling import duplicate_keys, orphans, totals_differing

CLIENT_ENDPOINTS = ("OperationHistory", "LeadsPagingInfo", "ClientFavoriteDataInfo")
_ENDPOINT_OF_FEED = {feed: endpoint for endpoint, feed in FEED_OF_ENDPOINT.items()}
_MAIN_TABLES = ("operations", "leads", "favourite_offers")
_MAX_DAYS = 4_000
_MAX_TABLES = 3_000


def play_clients(
    scene: Scene,
    mutants: Mapping[Key, Mutant],
    options: Options,
    *,
    recovers: bool = True,
    with_marts: bool = True,
) -> Played:
    """Sync the feeds of these mutants, compare, and sync again without the mutants."""
    played = Played()
    names = {FEED_OF_ENDPOINT[key[0]] for key in mutants}
    feeds = [feed for feed in CLIENT_FEEDS if feed.name in names]
    with scene.clone() as database:
        warehouse = scene.warehouse(database)
        scene.server.orders = orders = Orders(dict(mutants), scene.neighbours)
        played.findings += _sync(scene.settings(database, options), warehouse, feeds)
        failed = {finding.feed for finding in played.findings}
        check = _Check(scene, warehouse, orders, feeds=names - failed)
        played.findings += check.findings()
        played.pending, played.quarantined = len(check.pending), check.quarantined
        if with_marts:
            played.findings += check_marts(warehouse)
        played.count(orders)
        if recovers and not played.findings:
            scene.server.orders = Orders()
            again = Options(options.page_length)
            played.findings += _recovery(scene, scene.settings(database, again), warehouse, feeds)
    return played


def _sync(settings: Settings, warehouse: Warehouse, feeds: Sequence[Any]) -> list[Finding]:
    engine = SyncEngine(settings, warehouse, open_api=hasty)
    try:
        engine.sync(REGISTRATIONS, SECOND)
    except Exception as error:  # noqa: BLE001 - any exception is a finding
        return [failure_of(error, "registrations")]
    findings = []
    together = engine.begin_concurrent(feeds, SECOND)
    for feed in feeds:
        try:
            together.report(feed)
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            findings.append(failure_of(error, feed.name))
    together.close()
    return findings


def _recovery(
    scene: Scene, settings: Settings, warehouse: Warehouse, feeds: Sequence[Any]
) -> Iterator[Finding]:
    for one in _sync(settings, warehouse, feeds):
        yield Finding("no recovery", one.detail, feed=one.feed)
    names = {feed.name for feed in feeds}
    for difference in differences_from(scene.truth, warehouse):
        if isinstance(difference, str):
            yield Finding("no recovery", difference)
        elif (feed := FEED_OF_TABLE[difference.table]) in names:
            yield Finding("no recovery", str(difference), _key_of(feed, difference.key[0]))
    for feed, client in _pending(warehouse):
        if feed in names:
            yield Finding("no recovery", f"{feed} of {client} pending", _key_of(feed, client))


class _Check:
    """Compares the warehouse after a sync with the responses that were sent."""

    def __init__(
        self, scene: Scene, warehouse: Warehouse, orders: Orders, *, feeds: Collection[str]
    ) -> None:
        self._warehouse = warehouse
        self._scene = scene
        self._feeds = feeds
        self._orders = orders
        self._mutants = {
            (FEED_OF_ENDPOINT[key[0]], key[1]): (key, mutant)
            for key, mutant in orders.mutants.items()
        }
        self.pending = {subject for subject in _pending(warehouse) if subject[0] in feeds}
        self.quarantined = 0

    def findings(self) -> Iterator[Finding]:
        """Yield everything that is wrong."""
        differing: dict[Subject, list[Difference]] = {}
        for one in differences_from(self._scene.truth, self._warehouse):
            if isinstance(one, str):
                yield Finding("live twice", one)
                continue
            feed = FEED_OF_TABLE[one.table]
            subject = (feed, one.key[0])
            if subject in self._mutants:
                differing.setdefault(subject, []).append(one)
            elif feed in self._feeds:
                yield Finding("a healthy client differs", str(one), feed=feed)
        for subject in self.pending - self._mutants.keys():
            detail = f"{subject}: {self._last_error(subject)}"
            yield Finding("a healthy client is pending", detail, feed=subject[0])
        yield from self._set_aside()
        after = rows_of(self._warehouse)
        for subject in self._mutants:
            if subject[0] in self._feeds:
                is_same = self._scene.rows_before.get(subject) == after.get(subject)
                yield from self._of_mutant(subject, differing.get(subject, []), is_same=is_same)
        if "operations" in self._feeds:
            yield from self._wrong_phones()
        for feed in self._feeds:
            yield from self._unreconciled(feed)

    def _of_mutant(
        self, subject: Subject, differing: Sequence[Difference], *, is_same: bool
    ) -> Iterator[Finding]:
        key, mutant = self._mutants[subject]
        served = self._orders.served.get(key, [])
        believable = [verdict for verdict in served if verdict.kind != "never"]
        is_pending = subject in self.pending
        if is_pending and "unexpected error" in (detail := self._last_error(subject)):
            yield Finding("an unexpected error", f"{subject}: {detail}", key)
        if is_pending and not is_same:
            yield Finding("pending, yet changed", str(subject), key)
        if served and not believable and not is_pending:
            yield Finding("an invalid response was accepted", f"{subject}: {served[0].why}", key)
        if served and is_harmless(mutant) and (is_pending or differing):
            detail = self._last_error(subject) if is_pending else str(differing[0])
            yield Finding("harmless, yet refused", f"{subject}: {detail}", key)
        if is_pending:
            return
        if not served or (mutant.when == "first" and served[0].kind == "never"):
            for one in differing:
                yield Finding("differs without cause", str(one), key)
            return
        for one in differing:
            if (kind := _unfounded(one, believable)) is not None:
                yield Finding(kind, str(one), key)

    def _set_aside(self) -> Iterator[Finding]:
        with self._warehouse.connect() as session:
            rows = session.execute(
                "select feed, client_id, reason from sync.quarantine where resolved_at is null"
            ).fetchall()
        self.quarantined = len(rows)
        for feed, client, reason in rows:
            if (feed, client) not in self._mutants:
                yield Finding("a healthy client in quarantine", f"{feed} {client}: {reason}")

    def _wrong_phones(self) -> Iterator[Finding]:
        """Yield phones that changed although no response contained one."""
        for client, phone in phones_of(self._warehouse).items():
            subject = ("operations", client)
            before = self._scene.phones_before.get(client)
            if subject not in self._mutants or phone == before:
                continue
            key, _ = self._mutants[subject]
            served = [v for v in self._orders.served.get(key, []) if v.kind != "never"]
            if not any(_may_contain_phone(verdict) for verdict in served):
                yield Finding("a phone never sent", f"{subject}: {before} became {phone}", key)

    def _unreconciled(self, feed: str) -> Iterator[Finding]:
        for one in totals_differing(self._warehouse, feed_named(feed)).listed:
            subject = (feed, int(one.subject))
            key = self._mutants[subject][0] if subject in self._mutants else None
            yield Finding("totals differ", f"{feed}: {one}", key, feed)
        if doubled := duplicate_keys(self._warehouse, feed_named(feed)):
            yield Finding("live twice", f"{feed}: {doubled} keys", feed=feed)
        if lost := orphans(self._warehouse, feed_named(feed)):
            yield Finding("orphans", f"{feed}: {lost} rows", feed=feed)

    def _last_error(self, subject: Subject) -> str:
        with self._warehouse.connect() as session:
            row = session.execute(
                "select last_error from sync.client_state where (feed, client_id) = (%s, %s)",
                subject,
            ).fetchone()
        return str(row[0]) if row else "no state"


def is_harmless(mutant: Mutant) -> bool:
    """Whether the response has the same content as the right one."""
    return mutant.source == "answer" and all(one in HARMLESS for one in mutant.mutations)


def check_marts(warehouse: Warehouse) -> Iterator[Finding]:
    """Refresh the marts: they must accept every published row, and stay small."""
    try:
        refresh_marts(warehouse)
    except Exception as error:  # noqa: BLE001 - any exception is a finding
        yield failure_of(error, "marts")
        return
    with warehouse.connect() as session:
        row = session.execute(
            "select (select count(*) from mart.program_daily),"
            " (select count(*) from pg_class where relkind = 'r')"
        ).fetchone()
    days, tables = row or (0, 0)
    if days > _MAX_DAYS:
        yield Finding("a mart of too many days", str(days), feed="marts")
    if tables > _MAX_TABLES:
        yield Finding("too many tables", str(tables), feed="marts")


def _may_contain_phone(verdict: Verdict) -> bool:
    is_text = "\0" not in verdict.text and "\ufffd" not in verdict.text
    return "Phone" in verdict.text or not is_text


def _unfounded(one: Difference, believable: Sequence[Verdict]) -> str | None:
    """Why a difference cannot be caused by the responses; None if it can."""
    key = tuple(str(part) for part in one.key[1:])
    if one.kind == "surplus":
        # A number may be written in another notation: 1e3 for 1000.
        was_sent = any(
            any(part in verdict.text for part in key[-1:])
            or any(found[-1:] == key[-1:] for found in verdict.keys)
            for verdict in believable
        )
        return None if was_sent or not key else "a row never sent"
    if one.table not in _MAIN_TABLES:
        return None
    was_exact = any(key in verdict.exact for verdict in believable)
    # The row is damaged, or missing from a response that claims to be complete.
    may_be_lost = any(
        key not in verdict.exact
        and (verdict.is_whole or key in verdict.keys or not verdict.is_read)
        for verdict in believable
    )
    return "a right row is lost" if was_exact and not may_be_lost else None


def _key_of(feed: str, client: int) -> Key:
    return _ENDPOINT_OF_FEED[feed], client, False


def _pending(warehouse: Warehouse) -> set[Subject]:
    with warehouse.connect() as session:
        rows = session.execute(
            "select feed, client_id from sync.client_state where pending_since is not null"
        )
        return {(row[0], row[1]) for row in rows}
