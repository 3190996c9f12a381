"""Clients that the source no longer knows: days become complete again, and their rows are kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync import run as sync_run
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.publish import publish
from lcm_pipeline.warehouse.ingest.retirement import reinstate, retire
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.missing_days import missing_window
from lcm_pipeline.warehouse.privacy.forgetting import forget
from lcm_pipeline.warehouse.status import read_status
from tests.databases import fetch_rows
from tests.reconciling import totals_differing
from tests.unit.api_service import Request, Response, Service, running_in_thread

JOINED = date(2026, 3, 1)
ERASING_KEY = b"a key of sixteen bytes or more"
WITHOUT_WAITING = RetryPolicy(first_wait=0.0)
NOT_FOUND = Response({"ErrorCode": 2, "Message": "Участник не найден"})


@dataclass
class Programme:
    """A scripted programme. rows: keys of each client's operations and leads; cards: card by owner.

    offers: keys of each client's favourite offers, each of one good.
    slots: the number of goods that a client chose.
    refuses: the refusal that a client gets; refused_in: the endpoints that refuse, all if empty.
    more_registrations: further rows of that day.
    """

    rows: dict[int, list[int]]
    cards: dict[int, int]
    refuses: dict[int, Response] = field(default_factory=dict)
    refused_in: frozenset[str] = frozenset()
    requests: list[tuple[str, int | None]] = field(default_factory=list)
    more_registrations: list[dict[str, Any]] = field(default_factory=list)
    offers: dict[int, list[int]] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)

    def reply(self, received: Request) -> Response:
        name, request = received.path.rpartition("/")[2], received.json
        client = request.get("Client")
        self.requests.append((name, client))
        if client in self.refuses and (not self.refused_in or name in self.refused_in):
            return self.refuses[client]
        return Response(self._body(name, request))

    def _body(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        if name == "ClientInfoPeriod":
            is_on = request["BegDate"] < f"{JOINED}T10" < request["EndDate"]
            rows = [
                {"Client": client, "Card": card, "RegPos": 1, "RegDate": f"{JOINED}T10:00:00"}
                for card, client in self.cards.items()
            ] + self.more_registrations
            return {"Clients": rows if is_on else [], "ErrorCode": 0, "Message": None}
        client, start = request["Client"], max(1, request["Start"])
        keys = self.rows.get(client, [])
        rows = [
            {"Id": key, "Leads": key, "ComponentType": 2, "ChequeId": key, "Amount": 100,
             "Proctime": f"{JOINED}T12:00:00", "ProcTime": f"{JOINED}T12:00:00"}
            for key in keys
        ][start - 1 :][: request["Length"]]  # fmt: skip
        if name == "OperationHistory":
            header = {"Client": client, "Phone": 9_000_000_000 + client, "Rows": len(keys)}
            return header | {"Operations": rows, "ErrorCode": 0, "Message": None}
        if name == "LeadsPagingInfo":
            return {"TotalRows": len(keys), "LeadsClients": rows, "ErrorCode": 0, "Message": None}
        wanted = request.get("ClientFavoriteId")
        offers = [
            {"Id": key, "ProcTime": f"{JOINED}T12:00:00"}
            for key in self.offers.get(client, [])
            if wanted in (None, key)
        ]
        return {
            "TotalRows": len(offers), "SumGain": 0, "MaxLinkGoods": 5,
            "GroupFavorites": [{"Id": 1, "CountSelect": 1}] if self.slots.get(client) else [],
            "NowLinkGoods": self.slots.get(client, 0),
            "ClientFavorites": offers[start - 1 :][: request["Length"]],
            "ListFavorites": [{"Id": wanted, "ListDataId": 1}] if wanted and offers else [],
            "ErrorCode": 0,
        }  # fmt: skip


@dataclass
class Daily:
    """A programme that is synced once a day into a warehouse."""

    programme: Programme
    warehouse: Warehouse
    url: str
    day: date = JOINED

    def sync(self, **settings: Any) -> int:
        """Sync the next day; returns the number of pending clients over all feeds."""
        fields: dict[str, Any] = {
            "api_url": self.url, "database_url": self.warehouse.url, "start_date": JOINED,
            "audit_share": 0.0,
        }  # fmt: skip
        given = load_settings(**(fields | settings))
        open_api = partial(LoyaltyApi.from_settings, policy=WITHOUT_WAITING)
        engine = SyncEngine(given, self.warehouse, open_api=open_api)
        window = Window(self.day, self.day)
        self.day += timedelta(days=1)
        return sum(engine.sync(feed, window).pending for feed in FEEDS)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return fetch_rows(self.warehouse, statement)

    def retired(self) -> dict[int, str]:
        found = read_status(self.warehouse, lists_retired=True).retired or []
        return {one.client_id: one.reason for one in found}

    def live(self, table: str = "operations") -> dict[int, int]:
        key = {
            "operations": "operation_id", "leads": "lead_id", "registrations": "card_number",
            "favourite_offers": "favourite_id", "favourite_goods": "favourite_id",
        }  # fmt: skip
        found = self.rows(
            f"select {key[table]}, client_id from core.{table} where deleted_at is null"
        )
        assert len({row[0] for row in found}) == len(found), "a key is live under two clients"
        return {int(a): int(b) for a, b in found}

    def complete_through(self) -> list[date | None]:
        return [feed.complete_through for feed in read_status(self.warehouse).feeds]

    def assert_totals_agree(self) -> None:
        for feed in FEEDS:
            assert totals_differing(self.warehouse, feed).listed == []


@pytest.fixture
def daily(warehouse: Warehouse) -> Iterator[Daily]:
    """Thirty clients with a card, and two operations and leads, each."""
    clients = range(1001, 1031)
    programme = Programme(
        rows={client: [client * 10, client * 10 + 1] for client in clients},
        cards={client + 5000: client for client in clients},
    )
    with running_in_thread(Service(otherwise=programme.reply)) as port:
        yield Daily(programme, warehouse, f"http://127.0.0.1:{port}/x/")


def test_a_run_that_is_published_several_times_counts_a_refusal_once(
    daily: Daily, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a lost response to the commit, or when others add tasks meanwhile."""
    daily.sync()
    daily.programme.refuses[1001] = NOT_FOUND

    def publish_thrice(*values: Any, **named: Any) -> Any:
        for _ in range(2):
            publish(*values, **named)
        return publish(*values, **named)

    monkeypatch.setattr(sync_run, "publish", publish_thrice)
    assert daily.sync() == 3
    counted = "select distinct refusals from sync.client_state where client_id = 1001"
    assert daily.rows(counted) == [(1,)]
    assert daily.retired() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "refusal", [NOT_FOUND, Response({"Message": "no such client"}, status=404)], ids=["code", "404"]
)
def test_days_become_complete_again_after_half_of_the_clients_are_deleted(
    daily: Daily, refusal: Response
) -> None:
    assert daily.sync() == 0
    deleted = {1001 + number: refusal for number in range(12)}
    daily.programme.refuses = deleted
    assert daily.sync() == 3 * len(deleted)
    assert daily.sync() == 3 * len(deleted)
    assert daily.retired() == {}
    assert daily.sync() == 0
    assert daily.retired() == dict.fromkeys(deleted, "refused")
    newest = daily.day - timedelta(days=1)
    assert daily.complete_through() == [newest] * len(FEEDS)
    # Their rows are kept, and they are not requested any more.
    assert len(daily.live()) == 60
    daily.programme.requests.clear()
    assert daily.sync() == 0
    assert {client for _, client in daily.programme.requests}.isdisjoint(deleted)
    daily.assert_totals_agree()


@pytest.mark.slow
def test_a_client_refused_in_one_feed_only_stays_pending(daily: Daily) -> None:
    daily.sync()
    daily.programme.refuses = {1001: NOT_FOUND}
    daily.programme.refused_in = frozenset({"OperationHistory"})
    assert [daily.sync() for _ in range(5)] == [1] * 5
    assert daily.retired() == {}


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "failure",
    [
        Response({"ErrorCode": 10, "Message": "Object reference not set to an instance"}),
        Response({"Message": "An error has occurred."}, status=500),
        Response({}, status=423),
    ],
    ids=["raw text", "500", "locked"],
)
def test_a_failure_of_the_service_retires_no_client(daily: Daily, failure: Response) -> None:
    daily.sync()
    daily.programme.refuses = {1001: failure}
    assert [daily.sync() for _ in range(4)] == [3] * 4
    assert daily.retired() == {}


@pytest.mark.slow
def test_no_client_is_retired_when_most_are_refused(daily: Daily) -> None:
    daily.sync()
    daily.programme.refuses = dict.fromkeys(range(1001, 1017), NOT_FOUND)
    for _ in range(4):
        daily.sync()
    assert daily.retired() == {}


@pytest.mark.slow
def test_a_response_between_refusals_resets_the_count(daily: Daily) -> None:
    daily.sync()
    for refuses in ({1001: NOT_FOUND}, {1001: NOT_FOUND}, {}, {1001: NOT_FOUND}):
        daily.programme.refuses = refuses
        daily.sync()
    assert daily.retired() == {}


def test_merged_cards_count_their_history_once_and_retire_the_old_client(daily: Daily) -> None:
    source = daily.programme
    source.offers = {1001: [1, 2], 1003: [3]}
    daily.sync()
    source.cards[6001] = 1002
    source.rows[1002] += source.rows.pop(1001)
    source.offers[1002] = source.offers.pop(1001)
    source.refuses = {1001: NOT_FOUND}
    assert daily.sync() == 0
    assert daily.retired() == {1001: "merged"}
    for table in ("operations", "leads", "registrations"):
        live = daily.live(table)
        assert 1001 not in live.values()
        assert len(live) == (30 if table == "registrations" else 60)
    for table in ("favourite_offers", "favourite_goods"):
        assert daily.live(table) == {1: 1002, 2: 1002, 3: 1003}
    assert daily.rows("select current_client_id from sync.retired_clients") == [(1002,)]
    assert daily.complete_through() == [daily.day - timedelta(days=1)] * len(FEEDS)
    daily.assert_totals_agree()


def test_rows_that_only_the_old_client_has_are_kept(daily: Daily) -> None:
    daily.sync()
    source = daily.programme
    source.cards[6001] = 1002
    source.rows[1002] += source.rows.pop(1001)[:1]
    source.refuses = {1001: NOT_FOUND}
    daily.sync()
    assert {key: client for key, client in daily.live().items() if key in (10010, 10011)} == {
        10010: 1002,
        10011: 1001,
    }
    # A row that the other client has later is taken over then.
    source.rows[1002].append(10011)
    daily.sync()
    assert daily.live()[10011] == 1002
    daily.assert_totals_agree()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("is_refused", "slots"), [(True, [150, 145, 145]), (False, [150, 150, 145])]
)
def test_the_slots_of_a_merged_client_end_when_it_is_retired(
    daily: Daily, is_refused: bool, slots: list[int]
) -> None:
    source = daily.programme
    source.offers, source.slots = {1001: [1]}, {1001: 2, 1002: 1}
    daily.sync()
    source.cards[6001] = 1002
    source.rows[1002] += source.rows.pop(1001)
    source.offers[1002] = source.offers.pop(1001)
    source.slots = {1002: 3}
    if is_refused:
        source.refuses = {1001: NOT_FOUND}
    for _ in range(2):
        daily.sync()
    assert daily.retired() == {1001: "merged"}
    chosen = "select client_id, deleted_at is null from core.favourite_groups order by client_id"
    assert daily.rows(chosen) == [(1001, False), (1002, True)]
    refresh_marts(daily.warehouse)
    uptake = "select slots_used, slots from mart.favourite_uptake order by day"
    assert daily.rows(uptake) == [(3, count) for count in slots]


@pytest.mark.slow
def test_a_merged_client_without_rows_is_retired_without_a_refusal(daily: Daily) -> None:
    daily.sync()
    source = daily.programme
    source.cards[6001] = 1002
    source.rows[1002] += source.rows.pop(1001)
    daily.sync()
    assert len(daily.live()) == 60
    # By now every feed has shown that no row is left.
    daily.sync()
    assert daily.retired() == {1001: "merged"}
    source.requests.clear()
    daily.sync()
    assert 1001 not in {client for _, client in source.requests}


@pytest.mark.slow
def test_a_client_that_the_source_reports_again_is_reinstated(daily: Daily) -> None:
    daily.sync()
    source = daily.programme
    source.refuses = {1001: NOT_FOUND}
    for _ in range(3):
        daily.sync()
    assert daily.retired() == {1001: "refused"}
    # The audit reads every client, retired ones too.
    source.refuses = {}
    source.rows[1001].append(77)
    assert daily.sync(audit_share=1.0) == 0
    assert daily.retired() == {}
    assert daily.live()[77] == 1001
    daily.assert_totals_agree()


@pytest.mark.slow
def test_the_audit_leaves_a_refused_retired_client_unchanged(daily: Daily) -> None:
    daily.sync()
    daily.programme.refuses = {1001: NOT_FOUND}
    for _ in range(3):
        daily.sync()
    assert daily.sync(audit_share=1.0) == 0
    assert daily.retired() == {1001: "refused"}


@pytest.mark.slow
def test_a_new_card_reinstates_a_retired_client(daily: Daily) -> None:
    daily.sync()
    daily.programme.refuses = {1001: NOT_FOUND}
    for _ in range(3):
        daily.sync()
    daily.programme.refuses = {}
    daily.programme.cards[9999] = 1001
    daily.sync()
    assert daily.retired() == {}


def test_a_card_that_is_no_longer_listed_stays_and_the_comment_says_so(daily: Daily) -> None:
    daily.programme.cards[9999] = 1001
    daily.sync()
    del daily.programme.cards[9999]
    daily.sync()
    assert daily.rows("select client_id from core.cards where card_number = 9999") == [(1001,)]
    assert 9999 not in daily.live("registrations")
    ((comment,),) = daily.rows("select obj_description('core.cards'::regclass)")
    assert "no longer lists stays as it last was" in comment
    listed = """
        select count(*)
        from core.cards
        where exists (
            select from core.registrations
            where registrations.card_number = cards.card_number and deleted_at is null
        )
    """
    assert daily.rows(listed) == [(30,)]


@pytest.mark.slow
def test_a_client_is_retired_and_reinstated_by_hand(daily: Daily) -> None:
    daily.sync()
    daily.programme.refuses = {1001: NOT_FOUND}
    daily.sync()
    with pytest.raises(UsageError, match="client 42 is not in the roster"):
        retire(daily.warehouse, [1001, 42])
    assert daily.retired() == {}
    retire(daily.warehouse, [1001])
    with pytest.raises(UsageError, match="retired by hand already"):
        retire(daily.warehouse, [1001])
    assert daily.complete_through() == [daily.day - timedelta(days=1)] * len(FEEDS)
    daily.programme.refuses = {}
    daily.programme.requests.clear()
    assert daily.sync(audit_share=1.0) == 0
    assert 1001 not in {client for _, client in daily.programme.requests}
    daily.programme.rows[1001].append(88)
    with pytest.raises(UsageError, match="client 1002 is not retired"):
        reinstate(daily.warehouse, [1001, 1002])
    assert daily.retired() == {1001: "manual"}
    reinstate(daily.warehouse, [1001])
    # A day that was complete without the client waits for the client again.
    assert missing_window(daily.warehouse, None, daily.day - timedelta(days=1)) is not None
    assert daily.sync() == 0
    assert missing_window(daily.warehouse, None, daily.day - timedelta(days=1)) is None
    assert daily.live()[88] == 1001


def move_1001_to_1002(daily: Daily) -> None:
    """Sync a programme in which client 1002 takes over the card and the rows of client 1001."""
    assert daily.sync() == 0
    daily.programme.cards[6001] = 1002
    daily.programme.rows[1002] += daily.programme.rows.pop(1001)
    while 1001 not in daily.retired():
        daily.sync()


@pytest.mark.slow
def test_erasing_a_client_leaves_those_merged_into_it_retired(daily: Daily) -> None:
    move_1001_to_1002(daily)
    forget(daily.warehouse, 1002, [ERASING_KEY], Pseudonyms())
    assert daily.retired() == {1001: "merged"}
    daily.programme.refuses[1001] = NOT_FOUND
    assert daily.sync(pseudonym_key=ERASING_KEY.decode(), pseudonymize=False) == 0


@pytest.mark.slow
def test_a_card_of_an_erased_client_is_erased_from_its_former_owner_too(daily: Daily) -> None:
    move_1001_to_1002(daily)
    forget(daily.warehouse, 1002, [ERASING_KEY], Pseudonyms())
    cards = daily.rows("select card_number from core.registrations")
    assert not {6001, 6002} & {card for (card,) in cards}
    daily.sync(pseudonym_key=ERASING_KEY.decode(), pseudonymize=False)
    daily.assert_totals_agree()


@pytest.mark.slow
def test_a_card_that_an_erased_client_had_before_stays_with_its_owner(daily: Daily) -> None:
    move_1001_to_1002(daily)
    forget(daily.warehouse, 1001, [ERASING_KEY], Pseudonyms())
    owners = daily.rows("select client_id from core.registrations where card_number = 6001")
    assert owners == [(1002,)]


def test_erasing_a_client_with_a_quarantined_registration_keeps_the_totals(daily: Daily) -> None:
    without_card = {"Client": 1001, "Card": None, "RegPos": 1, "RegDate": f"{JOINED}T10:00:00"}
    del daily.programme.cards[6001]
    daily.programme.more_registrations.append(without_card)
    daily.sync()
    forget(daily.warehouse, 1001, [ERASING_KEY], Pseudonyms())
    daily.assert_totals_agree()
    daily.sync(pseudonym_key=ERASING_KEY.decode(), pseudonymize=False)
    daily.assert_totals_agree()


def test_a_client_that_a_killed_run_has_only_staged_can_be_erased(
    daily: Daily, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lcm_pipeline.sync.run.publish", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            daily.sync()
    daily.day = JOINED
    assert forget(daily.warehouse, 1001, [ERASING_KEY], Pseudonyms()).deleted.keys() == {
        "staging.clients_r1", "staging.registrations_r1",
    }  # fmt: skip
    daily.sync(pseudonym_key=ERASING_KEY.decode(), pseudonymize=False)
    assert daily.rows("select client_id from core.clients where client_id = 1001") == []
    daily.assert_totals_agree()
