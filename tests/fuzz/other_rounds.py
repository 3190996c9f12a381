"""Rounds of registration days, of profile updates and of logins; there are fewer of these."""

from collections.abc import Iterator, Mapping
from typing import Any

from lcm_pipeline.feeds import LEADS, REGISTRATIONS
from lcm_pipeline.push.push import WriteBack
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.connection import Warehouse
from tests.fuzz.client_rounds import check_marts, is_harmless
from tests.fuzz.mutations import Mutant
from tests.fuzz.scene import (
    FIRST,
    SECOND,
    Finding,
    Options,
    Played,
    Scene,
    days_of,
    differences_from,
    failure_of,
    hasty,
    rows_of,
)
from tests.fuzz.server import LOGIN, Key, Orders
from tests.oracle import Difference

# After this time no request of a push is still on its way: the server is in this process.
_SETTLE_SECONDS = 0.05
_LOOKBACK = len(FIRST) + 1


# Registration days.


def play_days(scene: Scene, mutants: Mapping[Key, Mutant], options: Options) -> Played:
    """Poll all days again, some of them mutated: known clients must still be read."""
    played = Played()
    with scene.clone() as database:
        warehouse = scene.warehouse(database)
        scene.server.orders = orders = Orders(dict(mutants))
        settings = scene.settings(database, options, lookback_days=_LOOKBACK)
        engine = SyncEngine(settings, warehouse, open_api=hasty)
        try:
            engine.sync(REGISTRATIONS, SECOND)
            played.pending = len(_pending_days(warehouse))
            played.findings += _check_days(scene, warehouse, orders)
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            played.findings.append(failure_of(error, "registrations"))
        played.count(orders)
        try:
            engine.sync(LEADS, SECOND)
            played.findings += _check_leads(scene, warehouse)
            played.findings += check_marts(warehouse)
            scene.server.orders = Orders()
            engine.sync(REGISTRATIONS, SECOND)
            played.findings += _recovered_days(scene, warehouse)
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            played.findings.append(failure_of(error, "after registrations"))
    return played


def _check_days(scene: Scene, warehouse: Warehouse, orders: Orders) -> Iterator[Finding]:
    pending = _pending_days(warehouse)
    mutated = {key[1]: key for key in orders.mutants}
    for day in pending - mutated.keys():
        yield Finding("a healthy day is pending", day)
    differing: dict[str, list[Difference]] = {}
    days = _days_of_cards(scene, warehouse)
    for one in differences_from(scene.truth, warehouse):
        if isinstance(one, str):
            yield Finding("live twice", one)
        elif one.table == "registrations":
            day = days[one.key]
            if day in mutated:
                differing.setdefault(day, []).append(one)
            else:
                yield Finding("a healthy day differs", f"{day}: {one}")
    after = days_of(warehouse)
    for day, key in mutated.items():
        served = orders.served.get(key, [])
        is_believable = any(verdict.kind != "never" for verdict in served)
        found = differing.get(day, [])
        if served and not is_believable and day not in pending:
            yield Finding("an invalid response was accepted", f"{day}: {served[0].why}", key)
        if day in pending and scene.days_before.get(day) != after.get(day):
            yield Finding("pending, yet changed", f"{day}: {found[:1]}", key)
        if "unexpected error" in (detail := _last_error(warehouse, day)):
            yield Finding("an unexpected error", f"{day}: {detail}", key)
        if served and is_harmless(orders.mutants[key]) and (day in pending or found):
            yield Finding("harmless, yet refused", f"{day}: {found[:1]}", key)
    with warehouse.connect() as session:
        known = {row[0] for row in session.execute("select client_id from core.clients")}
    if lost := set(scene.phones_before) - known:
        yield Finding("clients are forgotten", str(lost))


def _days_of_cards(scene: Scene, warehouse: Warehouse) -> dict[tuple[Any, ...], str]:
    days = {}
    with warehouse.connect() as session:
        for client, card, day in session.execute(
            "select client_id, card_number, registration_date from core.registrations"
        ):
            days[(client, card)] = str(day)
    for row in scene.truth["registrations"]:
        days[(row["Client"], row["Card"])] = str(row["RegDate"])[:10]
    return days


def _check_leads(scene: Scene, warehouse: Warehouse) -> Iterator[Finding]:
    """Yield known clients that were not read or published because of the mutated days."""
    for one in differences_from(scene.truth, warehouse):
        if not isinstance(one, str) and one.table == "leads" and one.key[0] in scene.phones_before:
            yield Finding("a known client was not read", str(one))


def _recovered_days(scene: Scene, warehouse: Warehouse) -> Iterator[Finding]:
    for day in _pending_days(warehouse):
        yield Finding("no recovery", f"{day} is pending", ("ClientInfoPeriod", day, False))
    days = _days_of_cards(scene, warehouse)
    for one in differences_from(scene.truth, warehouse):
        if isinstance(one, str):
            yield Finding("no recovery", one)
        elif one.table == "registrations":
            key: Key = ("ClientInfoPeriod", days[one.key], False)
            yield Finding("no recovery", str(one), key)


def _last_error(warehouse: Warehouse, day: str) -> str:
    with warehouse.connect() as session:
        row = session.execute(
            "select last_error from sync.registration_days where registration_date = %s", (day,)
        ).fetchone()
    return str(row[0]) if row else ""


def _pending_days(warehouse: Warehouse) -> set[str]:
    with warehouse.connect() as session:
        rows = session.execute(
            "select registration_date from sync.registration_days where pending_since is not null"
        )
        return {str(row[0]) for row in rows}


# Profile updates.


def play_updates(scene: Scene, mutants: Mapping[Key, Mutant], options: Options) -> Played:
    """Push one update for each client, with some mutated responses, then push the rest."""
    played = Played()
    with scene.clone() as database:
        warehouse = scene.warehouse(database)
        settings = scene.settings(database, options, push_canary=0, push_fuse=1.0)
        write_back = WriteBack(
            settings, warehouse, open_api=hasty, service_timeout_seconds=_SETTLE_SECONDS
        )
        with warehouse.connect() as session:
            session.cursor().executemany(
                "insert into outbox.profile_updates (client_id, name) values (%s, %s)",
                [(client, f"Имя{client}") for client in scene.clients],
            )
        updates = scene.service.world.profiles.updates
        updates.clear()
        scene.server.orders = orders = Orders(dict(mutants))
        try:
            write_back.push()
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            played.findings.append(failure_of(error, "push"))
        else:
            played.findings += _check_updates(scene, warehouse, orders, updates)
        played.count(orders)
        if not played.findings:
            scene.server.orders = Orders()
            try:
                write_back.push()
                played.findings += _recovered_updates(warehouse)
            except Exception as error:  # noqa: BLE001 - any exception is a finding
                played.findings.append(failure_of(error, "push after it"))
    return played


def _check_updates(
    scene: Scene, warehouse: Warehouse, orders: Orders, updates: list[dict[str, Any]]
) -> Iterator[Finding]:
    applied: dict[int, list[str]] = {}
    for update in updates:
        applied.setdefault(update["Client"], []).append(update.get("Name", ""))
    for client, status in _statuses(warehouse).items():
        key: Key = ("ClientUpdate", client, False)
        mutant = orders.mutants.get(key)
        served = orders.served.get(key, [])
        names = applied.get(client, [])
        if set(names) - {f"Имя{client}"}:
            yield Finding("sent a value not in the outbox", f"{client}: {names}", key)
        if mutant is None:
            if status != "sent" or len(names) != 1:
                detail = f"{client}: {status}, sent {len(names)} times"
                yield Finding("a healthy update was not sent once", detail, feed="push")
            continue
        is_believable = any(verdict.kind != "never" for verdict in served)
        if served and not is_believable and status in ("sent", "partial"):
            yield Finding(
                "an invalid response was accepted", f"{client}: {status}, {served[0].why}", key
            )
        if served and is_harmless(mutant) and status != "sent":
            yield Finding("harmless, yet refused", f"{client}: {status}", key)


def _recovered_updates(warehouse: Warehouse) -> Iterator[Finding]:
    for client, status in _statuses(warehouse).items():
        if status in ("pending", "sending"):
            yield Finding("no recovery", f"{client}: {status}", ("ClientUpdate", client, False))


def _statuses(warehouse: Warehouse) -> dict[int, str]:
    with warehouse.connect() as session:
        return dict(
            session.execute("select client_id, status from outbox.profile_updates").fetchall()
        )


# Logins.


def play_logins(scene: Scene, mutants: Mapping[Key, Mutant], options: Options) -> Played:
    """Read two clients with each login: they are read, or the run stops with an error."""
    played = Played()
    with scene.clone() as database:
        warehouse = scene.warehouse(database)
        settings = scene.settings(
            database, options, username="manager", password="secret", concurrency=2
        )
        engine = SyncEngine(settings, warehouse, open_api=hasty)
        readers = sorted(scene.healthy)[:2]
        scene.server.orders = Orders()
        engine.sync(REGISTRATIONS, SECOND)
        before = None
        for key, mutant in mutants.items():
            scene.server.orders = orders = Orders({LOGIN: mutant})
            try:
                engine.read_again(LEADS, SECOND, readers)
            except SyncError as error:
                if is_harmless(mutant):
                    played.findings.append(Finding("harmless, yet refused", str(error), key))
            except Exception as error:  # noqa: BLE001 - any exception is a finding
                found = failure_of(error, "login")
                played.findings.append(Finding(found.kind, found.detail, key))
            played.count(orders)
            after = {
                subject: rows
                for subject, rows in rows_of(warehouse).items()
                if subject[0] == "leads"
            }
            if before is not None and after != before:
                played.findings.append(Finding("a login changed rows", "leads", key))
            before = after
    return played
