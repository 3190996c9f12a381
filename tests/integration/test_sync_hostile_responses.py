"""One odd response affects one client or one day, which is reported; all others are published.

Only the service is scripted, see tests/scripted_api.py.
"""

import logging
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import TooLargeError
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.feeds import (
    CLIENT_FEEDS,
    FAVOURITES,
    LEADS,
    OPERATIONS,
    REGISTRATIONS,
    feed_named,
)
from lcm_pipeline.model.windows import Window
from lcm_pipeline.reading import scan
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.plan import plan_window
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.verify.verify import verify_clients
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import LCM
from tests.reconciling import totals_differing
from tests.scripted_api import (
    Fields,
    Person,
    Reply,
    Rule,
    ScriptedApi,
    for_client,
    operation,
    serving,
)
from tests.scripted_api import person as a_person
from tests.syncing import FEEDS
from tests.waiting import PATIENCE

DAYS = Window(date(2026, 3, 1), date(2026, 3, 3))
CLIENTS = range(1001, 1013)
ODD = 1002
PHONE = "+79161234567"
ENDPOINTS = {feed.name: feed.endpoint.name for feed in CLIENT_FEEDS}
TABLES = {feed.name: feed.main_table.name for feed in CLIENT_FEEDS}
QUICK = RetryPolicy(first_wait=0.001, longest_wait=0.002)
TIMED_OUT = Reply({"Clients": None, "ErrorCode": 10, "Message": "Timeout expired."})
RESET = Reply({}, sent=0)
CUT_OFF = Reply({"Clients": [], "ErrorCode": 0, "Message": None}, sent=0.5)
# As a proxy cuts it that also corrects the length.
CUT_OFF_JSON = Reply(b'{"Clients": [{"Client": 10')


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    """A dozen clients who registered on the first of March."""
    with serving(*map(a_person, CLIENTS)) as running:
        yield running


@pytest.fixture
def make_engine(warehouse: Warehouse, tmp_path: Path) -> Callable[..., SyncEngine]:
    """Create engines that hardly wait between two attempts."""

    def make(api: ScriptedApi, client: type[LoyaltyApi] = LoyaltyApi, **fields: Any) -> SyncEngine:
        given = {
            "api_url": api.url, "database_url": warehouse.url, "home": tmp_path / "home",
            "start_date": DAYS.first, "concurrency": 4, **fields,
        }  # fmt: skip
        open_api = partial(client.from_settings, policy=QUICK)
        return SyncEngine(load_settings(**given), warehouse, open_api=open_api)

    return make


MakeEngine = Callable[..., SyncEngine]


def sync(engine: SyncEngine, window: Window = DAYS) -> dict[str, SyncReport]:
    return {feed: engine.sync(feed_named(feed), window) for feed in FEEDS}


def column(warehouse: Warehouse, statement: str) -> list[Any]:
    """The first column of a query."""
    with warehouse.connect() as session:
        return [row[0] for row in session.execute(statement.encode()).fetchall()]


def published(warehouse: Warehouse, feed: str) -> list[int]:
    """Clients with live rows of a feed."""
    table = TABLES[feed]
    return column(
        warehouse,
        f"select distinct client_id from core.{table} where deleted_at is null order by 1",
    )


def pending(warehouse: Warehouse, feed: str) -> dict[int, str]:
    """Clients that are pending, with the reason."""
    with warehouse.connect() as session:
        rows = session.execute(
            "select client_id, last_error from sync.client_state"
            " where feed = %s and pending_since is not null",
            (feed,),
        )
        return dict(rows.fetchall())


def run_lcm(api: ScriptedApi, warehouse: Warehouse, folder: Path, *words: str) -> Any:
    variables = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "LCM_HOME": str(folder / "home"),
        "LCM_API_URL": api.url, "LCM_DATABASE_URL": warehouse.url, "LCM_START_DATE": "2026-03-01",
    }  # fmt: skip
    given = {**variables, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.run(
        [LCM, *words, "--from", "2026-03-01", "--to", "2026-03-03"],
        env=given, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


# One client that is refused


@pytest.mark.sampled(1)
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 410, 423, 451])
def test_a_refused_client_is_pending_and_the_others_are_published(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine, status: int
) -> None:
    api.rules.append(for_client(ODD, Reply({"Message": "x"}, status)))
    reports = sync(make_engine(api))
    for feed in ENDPOINTS:
        assert (reports[feed].clients, reports[feed].pending) == (len(CLIENTS), 1)
        assert published(warehouse, feed) == [c for c in CLIENTS if c != ODD]
        assert list(pending(warehouse, feed)) == [ODD]
        assert f"HTTP {status}" in pending(warehouse, feed)[ODD]
    api.rules.clear()
    assert all(report.is_complete for report in sync(make_engine(api)).values())
    assert published(warehouse, "operations") == list(CLIENTS)


@pytest.mark.slow
def test_lcm_exits_with_3_when_one_client_is_refused(
    api: ScriptedApi, warehouse: Warehouse, tmp_path: Path
) -> None:
    api.rules.append(for_client(CLIENTS[0], Reply({"Message": "x"}, 404)))
    ended = run_lcm(api, warehouse, tmp_path, "sync")
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr
    assert published(warehouse, "operations") == list(CLIENTS[1:])


@pytest.mark.slow
def test_many_refused_clients_read_first_are_no_outage(
    warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    with serving(*map(a_person, range(1001, 1041))) as api:
        refused = range(1001, 1026)
        api.rules += [for_client(one, Reply({"Message": "x"}, 404)) for one in refused]
        for number in range(3):
            # From the second sync on they are pending and read first.
            reports = sync(make_engine(api))
            healthy = [c for c in api.people if c not in refused]
            for feed in ENDPOINTS:
                assert reports[feed].pending == len(refused)
                assert published(warehouse, feed) == healthy
            new = operation(5_000_000 + number, "2026-03-02T10:00:00")
            api.people[1040].operations.insert(0, new)
    assert column(warehouse, "select count(*) from core.operations where client_id = 1040") == [4]


@pytest.mark.slow
def test_many_clients_whose_requests_always_fail_are_no_outage(
    warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    with serving(*map(a_person, range(1001, 1031))) as api:
        sync(make_engine(api))
        failing = range(1001, 1021)
        api.rules += [for_client(one, Reply({"Message": "x"}, 500)) for one in failing]
        for _ in range(2):
            assert sync(make_engine(api))["operations"].pending == len(failing)


def test_the_only_due_client_may_be_refused(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    sync(make_engine(api))
    with warehouse.connect() as session:
        session.execute(
            "update sync.client_state set changed_date = '2020-01-01' where client_id <> %s", (ODD,)
        )
    api.rules.append(for_client(ODD, Reply({"Message": "x"}, 404)))
    report = make_engine(api, max_staleness_days=300).sync(
        LEADS, Window(date(2026, 3, 4), date(2026, 3, 4))
    )
    assert report.pending == 1


@pytest.mark.parametrize("status", [301, 401, 403, 404, 423])
def test_a_wrong_address_or_token_stops_a_first_sync_at_once(
    api: ScriptedApi, make_engine: MakeEngine, status: int
) -> None:
    api.rules.append(lambda name, request: Reply({"Message": "x"}, status))
    with pytest.raises(SyncError, match=f"HTTP {status}") as stopped:
        make_engine(api).sync(REGISTRATIONS, Window(date(2026, 3, 1), date(2026, 3, 30)))
    message = str(stopped.value)
    assert message.endswith("is kept: once that is corrected, run the same command again")
    assert "does not help" not in message.replace("a rerun alone does not help", "")
    assert ("correct LCM_TOKEN, or" in message) == (status == 401)
    # Four at once; a request with a 401 is repeated after a new login.
    assert len(api.received) <= (12 if status == 401 else 6)


def test_a_token_that_becomes_invalid_stops_the_feed(
    warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    refuses_all = Reply({"ErrorCode": 9, "Message": "Неверный токен"})
    with serving(*map(a_person, range(1001, 1101))) as api:

        def rule(name: str, request: Fields) -> Reply | None:
            is_over = len(api.requests("LeadsPagingInfo")) > 30
            return refuses_all if is_over and name == "LeadsPagingInfo" else None

        api.rules.append(rule)
        with pytest.raises(SyncError, match="ErrorCode 9"):
            make_engine(api).sync(LEADS, DAYS)
        assert len(api.requests("LeadsPagingInfo")) < 60


def test_a_service_that_goes_on_throttling_stops_the_feed_and_the_next_sync_resumes(
    api: ScriptedApi, make_engine: MakeEngine, warehouse: Warehouse
) -> None:
    refused = Reply({"Message": "Too many requests"}, 429)

    def throttle(name: str, request: Fields) -> Reply | None:
        has_begun = len(api.requests("LeadsPagingInfo")) > 6
        return refused if name == "LeadsPagingInfo" and has_begun else None

    engine = make_engine(api)
    engine.sync(REGISTRATIONS, DAYS)
    api.rules.append(throttle)
    with pytest.raises(SyncError) as stopped:
        engine.sync(LEADS, DAYS)
    assert "HTTP 429 (20 attempts); the service wants fewer requests" in str(stopped.value)
    assert "lower LCM_MAX_RPS" in str(stopped.value)
    assert str(stopped.value).endswith("What was read is kept: run the same command again to go on")
    assert published(warehouse, "leads") == []
    api.rules.clear()
    before = len(api.received)
    assert make_engine(api).sync(LEADS, DAYS).is_complete
    assert published(warehouse, "leads") == [*CLIENTS]
    # Those that were read before are not requested again.
    again = {request["Client"] for name, request in api.received[before:] if "Client" in request}
    assert len(again) < len(CLIENTS)


def test_a_service_that_fails_while_the_largest_pages_are_verified_is_quoted_once(
    api: ScriptedApi, make_engine: MakeEngine
) -> None:
    def rule(name: str, request: Fields) -> Reply | None:
        client = request.get("Client")
        is_repeated = client is not None and len(api.requests(name, client)) > 1
        return Reply({"Message": "x"}, 404) if is_repeated else None

    api.rules.append(rule)
    quoted = "the largest pages could not be verified: LeadsPagingInfo for .* HTTP 404"
    with pytest.raises(SyncError, match=quoted):
        make_engine(api).sync(LEADS, DAYS)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("feed", FEEDS)
def test_a_run_in_which_every_client_fails_stops(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine, feed: str
) -> None:
    sync(make_engine(api))
    api.rules.append(lambda name, request: Reply({"Message": "x"}, 503))
    with pytest.raises(SyncError, match="HTTP 503"):
        make_engine(api).sync(feed_named(feed), DAYS)


def test_a_refused_client_fails_neither_a_plan_nor_a_verification(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    engine = make_engine(api)
    sync(engine)
    api.rules.append(for_client(ODD, Reply({"Message": "x"}, 404)))
    verification = verify_clients(engine.settings, warehouse, None)
    assert (verification.differences, verification.unproven) == ([], 3)
    later = Window(date(2026, 3, 1), date(2026, 3, 9))
    with warehouse.connect() as session:
        session.execute("truncate sync.registration_days")
    assert plan_window(engine.settings, warehouse, later).requests > 0


# One client whose response raises an unexpected exception


class OddApi(LoyaltyApi):
    """An API client that raises an unexpected exception for some clients."""

    odd_clients = frozenset({ODD})

    async def call(self, endpoint: Any, request: Any) -> Any:
        if getattr(request, "Client", None) in self.odd_clients:
            raise ValueError(f"invalid literal for int() with base 10: '{PHONE}'")
        return await super().call(endpoint, request)


def test_an_unexpected_exception_fails_only_its_client_and_is_logged_without_the_value(
    api: ScriptedApi,
    warehouse: Warehouse,
    make_engine: MakeEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        reports = sync(make_engine(api, OddApi))
    for feed in ENDPOINTS:
        assert reports[feed].pending == 1
        assert pending(warehouse, feed) == {ODD: "unexpected error: ValueError; see the log"}
        assert published(warehouse, feed) == [c for c in CLIENTS if c != ODD]
    assert f"client {ODD}: unexpected error: ValueError, raised at" in caplog.text
    assert "test_sync_hostile_responses.py" in caplog.text
    assert PHONE not in caplog.text


def test_an_unexpected_exception_of_every_client_stops_the_run(
    api: ScriptedApi, make_engine: MakeEngine
) -> None:
    class AllOdd(OddApi):
        odd_clients = frozenset(CLIENTS)

    with pytest.raises(SyncError, match="unexpected error: ValueError"):
        make_engine(api, AllOdd).sync(OPERATIONS, DAYS)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "body",
    [
        {"TotalRows": 0, "ClientFavorites": [], "SumGain": "", "ListFavorites": None},
        {"TotalRows": 0, "ClientFavorites": [], "SumGain": "", "ListFavorites": 5},
        {"TotalRows": 0, "ClientFavorites": [], "SumGain": "", "ListFavorites": [5]},
        {"TotalRows": 1, "ClientFavorites": [{"Id": 1}], "SumGain": "", "GroupFavorites": "x"},
    ],
)
def test_odd_values_next_to_the_rows_affect_no_other_client(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine, body: Fields
) -> None:
    odd = Reply({"ErrorCode": 0, "Message": None, **body})
    api.rules.append(for_client(ODD, odd, "ClientFavoriteDataInfo"))
    sync(make_engine(api))
    assert published(warehouse, "favourites") == [c for c in CLIENTS if c != ODD]


# Registration days that cannot be read


def requested_period(request: Fields) -> timedelta:
    begins, ends = (datetime.fromisoformat(request[name]) for name in ("BegDate", "EndDate"))
    return ends - begins


def on_day(day: str, reply: Reply, longer_than: timedelta = timedelta(0)) -> Rule:
    """A rule for periods that begin on a day, margin aside, and are longer than `longer_than`."""

    def rule(name: str, request: Fields) -> Reply | None:
        if name != "ClientInfoPeriod" or requested_period(request) <= longer_than:
            return None
        begins = datetime.fromisoformat(request["BegDate"]) + timedelta(seconds=1)
        return reply if str(begins.date()) == day else None

    return rule


def days_of(requests: list[Fields]) -> list[str]:
    return [
        str((datetime.fromisoformat(r["BegDate"]) + timedelta(seconds=1)).date()) for r in requests
    ]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(TIMED_OUT, id="a time-out in SQL"),
        pytest.param(Reply({"Message": "x"}, 504), id="504"),
        pytest.param(Reply({"Message": "x"}, 500), id="500"),
        pytest.param(Reply({"Message": "x"}, 404), id="404"),
        pytest.param(Reply({"ErrorCode": 7, "Message": "x"}), id="a refusal"),
        pytest.param(Reply(b"<html>"), id="HTML"),
    ],
)
def test_an_unreadable_registration_day_is_pending_and_known_clients_are_read(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine, reply: Reply
) -> None:
    sync(make_engine(api))
    api.people[1001].operations.insert(0, operation(7, "2026-03-05T10:00:00"))
    api.people[2001] = a_person(2001, "2026-03-05T10:00:00")
    api.people[2002] = a_person(2002, "2026-03-06T10:00:00")
    api.rules.append(on_day("2026-03-05", reply))
    later = Window(date(2026, 3, 5), date(2026, 3, 6))
    reports = sync(make_engine(api), later)
    assert (reports["registrations"].pending, reports["operations"].pending) == (1, 0)
    assert 2002 in published(warehouse, "operations")
    assert column(warehouse, "select count(*) from core.operations where operation_id = 7") == [1]
    assert column(
        warehouse,
        "select registration_date::text from sync.registration_days"
        " where pending_since is not null",
    ) == ["2026-03-05"]
    api.received.clear()
    assert sync(make_engine(api), later)["registrations"].pending == 1
    # Among the first four, which are polled at once.
    assert "2026-03-05" in days_of(api.requests("ClientInfoPeriod"))[:4]
    api.rules.clear()
    assert all(report.is_complete for report in sync(make_engine(api), later).values())
    assert 2001 in published(warehouse, "operations")


@pytest.mark.slow
def test_an_older_pending_day_is_polled_again_whatever_the_look_back(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    fields: dict[str, Any] = {"lookback_days": 1, "audit_share": 0}
    sync(make_engine(api, **fields))
    api.rules.append(on_day("2026-03-03", TIMED_OUT))
    sync(make_engine(api, **fields), Window(date(2026, 3, 4), date(2026, 3, 4)))
    api.rules.clear()
    api.received.clear()
    late = Window(date(2026, 3, 9), date(2026, 3, 9))
    assert sync(make_engine(api, **fields), late)["registrations"].pending == 0
    assert "2026-03-03" in days_of(api.requests("ClientInfoPeriod"))


@pytest.mark.slow
def test_lcm_exits_with_3_when_no_day_can_be_read_and_clients_are_known(
    api: ScriptedApi, warehouse: Warehouse, tmp_path: Path
) -> None:
    assert run_lcm(api, warehouse, tmp_path, "sync").returncode == 0
    api.people[1001].operations.insert(0, operation(7, "2026-03-02T10:00:00"))
    refused = Reply({"ErrorCode": 7, "Message": "x"})
    api.rules.append(lambda name, request: refused if name == "ClientInfoPeriod" else None)
    ended = run_lcm(api, warehouse, tmp_path, "sync")
    assert ended.returncode == 3, ended.stderr
    assert column(warehouse, "select count(*) from core.operations where operation_id = 7") == [1]


@pytest.mark.slow
def test_polling_is_given_up_after_many_failed_days_and_clients_are_read(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    sync(make_engine(api))
    api.received.clear()
    api.rules.append(lambda name, request: TIMED_OUT if name == "ClientInfoPeriod" else None)
    days = Window(date(2026, 3, 1), date(2026, 4, 29))
    reports = sync(make_engine(api), days)
    assert reports["registrations"].pending == len(days)
    assert reports["operations"].is_complete
    assert len(api.requests("ClientInfoPeriod")) < 200


def test_a_first_sync_without_a_readable_day_stops(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    api.rules.append(lambda name, request: TIMED_OUT if name == "ClientInfoPeriod" else None)
    with pytest.raises(SyncError, match="Timeout expired"):
        make_engine(api).sync(REGISTRATIONS, DAYS)
    # Split down to a minute and no further, for each of the three days: one request for the day,
    # two for each of six shorter periods.
    assert len(api.requests("ClientInfoPeriod")) == 3 * 13
    periods = {requested_period(request) for request in api.requests("ClientInfoPeriod")}
    assert min(periods) == timedelta(minutes=1, seconds=1)


class SmallApi(LoyaltyApi):
    """An API client for which the response of more than two hours is too large."""

    async def call(self, endpoint: Any, request: Any) -> Any:
        if getattr(request, "BegDate", None):
            begins, ends = map(datetime.fromisoformat, (request.BegDate, request.EndDate))
            if ends - begins > timedelta(hours=2):
                raise TooLargeError("the response is too large")
        return await super().call(endpoint, request)


@pytest.mark.parametrize(
    ("longest", "reply", "client"),
    [
        (timedelta(hours=7), TIMED_OUT, LoyaltyApi),
        (timedelta(minutes=20), TIMED_OUT, LoyaltyApi),
        pytest.param(timedelta(minutes=2), TIMED_OUT, LoyaltyApi, marks=pytest.mark.slow),
        (timedelta(hours=7), RESET, LoyaltyApi),
        pytest.param(timedelta(minutes=20), CUT_OFF, LoyaltyApi, marks=pytest.mark.slow),
        (timedelta(hours=7), CUT_OFF_JSON, LoyaltyApi),
        (timedelta(days=2), TIMED_OUT, SmallApi),
    ],
)
def test_a_day_that_always_fails_as_a_whole_is_read_in_parts_without_duplicates(
    warehouse: Warehouse,
    make_engine: MakeEngine,
    longest: timedelta,
    reply: Reply,
    client: type[LoyaltyApi],
) -> None:
    people = [
        Person(1000 + at, f"2026-03-02T{at // 60 % 24:02}:{at % 60:02}:00", [])
        for at in (0, 1, 359, 360, 361, 720, 900, 1439)
    ]
    with serving(*people) as api:
        api.rules.append(on_day("2026-03-02", reply, longer_than=longest))
        report = make_engine(api, client).sync(REGISTRATIONS, DAYS)
        assert report.is_complete
        found = column(warehouse, "select client_id from core.registrations order by 1")
        assert found == [one.client for one in people]
        assert column(
            warehouse, "select source_total from sync.registration_days order by registration_date"
        ) == [0, len(people), 0]
        shortest = min(longest, timedelta(hours=2))
        assert len(api.received) < 40 + 2 * (timedelta(days=1) / shortest)
        assert make_engine(api, client).sync(REGISTRATIONS, DAYS).rows_written == 0


def first_times(times: int, reply: Reply) -> Rule:
    """A rule for the first requests of each period of registrations."""
    requested: Counter[str] = Counter()

    def rule(name: str, request: Fields) -> Reply | None:
        if name != "ClientInfoPeriod":
            return None
        requested[request["BegDate"]] += 1
        return reply if requested[request["BegDate"]] <= times else None

    return rule


@pytest.mark.parametrize("reply", [RESET, CUT_OFF])
def test_a_day_is_requested_whole_again_after_its_connection_broke(
    api: ScriptedApi, make_engine: MakeEngine, reply: Reply
) -> None:
    api.rules.append(first_times(2, reply))
    assert make_engine(api).sync(REGISTRATIONS, DAYS).is_complete
    assert len(api.requests("ClientInfoPeriod")) == 3 * len(DAYS)


@pytest.mark.parametrize("reply", [RESET, CUT_OFF_JSON])
def test_a_part_of_a_day_is_requested_again_after_a_failure(
    api: ScriptedApi, make_engine: MakeEngine, reply: Reply
) -> None:
    api.rules.append(on_day("2026-03-02", TIMED_OUT, longer_than=timedelta(hours=7)))
    api.rules.append(first_times(1, reply))
    assert make_engine(api).sync(REGISTRATIONS, DAYS).is_complete
    days = days_of(api.requests("ClientInfoPeriod"))
    # The day, which timed out, and four parts, each requested twice.
    assert days.count("2026-03-02") == 1 + 4 * 2


def test_a_minute_that_cannot_be_read_leaves_its_day_pending_and_is_named(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    def rule(name: str, request: Fields) -> Reply | None:
        broken = name == "ClientInfoPeriod" and (
            request["BegDate"] < "2026-03-02T14:30:30" < request["EndDate"]
        )
        return RESET if broken else None

    api.rules.append(rule)
    assert make_engine(api).sync(REGISTRATIONS, DAYS).pending == 1
    [reason] = column(
        warehouse, "select last_error from sync.registration_days where pending_since is not null"
    )
    period = r"from 2026-03-02T14:(29|30):\d\d to 2026-03-02T14:3[01]:\d\d"
    assert re.search(f"{period}: the connection broke", reason)
    assert len(api.requests("ClientInfoPeriod")) < 70


def test_a_registration_that_is_sent_twice_is_counted_once(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    def rule(name: str, request: Fields) -> Reply | None:
        if name != "ClientInfoPeriod":
            return None
        fields = api.plain(name, request)
        without_card = [{**row, "Card": None} for row in fields["Clients"][:1]]
        return Reply({**fields, "Clients": (fields["Clients"] + without_card) * 2})

    api.rules.append(rule)
    report = make_engine(api).sync(REGISTRATIONS, DAYS)
    assert (report.pending, report.quarantined) == (0, 1)
    assert column(warehouse, "select count(*) from core.registrations") == [len(CLIENTS)]
    assert totals_differing(warehouse, REGISTRATIONS).listed == []


def test_a_day_with_null_rows_counts_as_empty_when_two_polls_agree(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    null = Reply({"Clients": None, "ErrorCode": 0, "Message": None})
    api.rules.append(on_day("2026-03-02", null))
    requested: list[str] = []

    def once(name: str, request: Fields) -> Reply | None:
        if name != "ClientInfoPeriod" or days_of([request]) != ["2026-03-01"]:
            return None
        requested.append(name)
        return null if len(requested) == 1 else None

    api.rules.append(once)
    report = make_engine(api).sync(REGISTRATIONS, DAYS)
    assert report.pending == 1
    days = days_of(api.requests("ClientInfoPeriod"))
    assert [days.count(f"2026-03-0{number}") for number in (1, 2, 3)] == [2, 2, 1]
    assert column(warehouse, "select count(*) from core.registrations") == [0]
    assert make_engine(api).sync(REGISTRATIONS, DAYS).is_complete
    assert column(warehouse, "select count(*) from core.registrations") == [len(CLIENTS)]


# Sources without an end


def in_pages(rows: Callable[[int, int], list[Fields]], total: int | None) -> Rule:
    """A rule for the operations of the odd client: the rows of a start and a length."""

    def rule(name: str, request: Fields) -> Reply | None:
        if (name, request.get("Client")) != ("OperationHistory", ODD):
            return None
        shown = rows(request["Start"], request["Length"])
        header = {"Client": ODD, "Phone": 1, "Card": 1, "Rows": total}
        return Reply({**header, "Operations": shown, "ErrorCode": 0, "Message": None})

    return rule


def some_rows(count: int) -> Callable[[int, int], list[Fields]]:
    everything = [operation(n, f"2026-03-01T{23 - n}:00:00") for n in range(count)]
    return lambda start, length: everything[max(0, start - 1) :][:length]


def endless_rows(start: int, length: int) -> list[Fields]:
    numbers = range(max(1, start), max(1, start) + length)
    begins = datetime(2026, 3, 1)
    return [operation(n, (begins - timedelta(seconds=n)).isoformat()) for n in numbers]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("rows", "total", "requests"),
    [
        pytest.param(some_rows(3), 2**31 - 1, 2, id="three rows of two thousand million"),
        pytest.param(some_rows(6), 100_000, 12, id="six rows of a hundred thousand"),
        pytest.param(some_rows(6), 7, 12, id="six rows of seven"),
        pytest.param(some_rows(1), 1_999_999, 12, id="one row of two million"),
        pytest.param(lambda start, length: some_rows(6)(1, length), 5_000, 40, id="one page"),
        pytest.param(lambda start, length: some_rows(6)(1, length), None, 40, id="no total"),
        pytest.param(endless_rows, 2, 40, id="endless rows of two"),
        pytest.param(endless_rows, 2_000, 1_000, id="endless rows of two thousand"),
    ],
)
def test_a_wrong_total_takes_a_bounded_number_of_requests(
    api: ScriptedApi,
    warehouse: Warehouse,
    make_engine: MakeEngine,
    rows: Callable[[int, int], list[Fields]],
    total: int | None,
    requests: int,
) -> None:
    engine = make_engine(api, page_length=200)
    engine.sync(OPERATIONS, DAYS)
    api.received.clear()
    api.rules.append(in_pages(rows, total))
    report = make_engine(api, page_length=200).sync(OPERATIONS, DAYS)
    assert report.pending == 1
    assert len(api.requests("OperationHistory", ODD)) <= requests
    assert published(warehouse, "operations") == list(CLIENTS)


def test_an_endless_history_without_a_total_is_given_up(
    api: ScriptedApi,
    warehouse: Warehouse,
    make_engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scan, "_MAX_ROWS_WITHOUT_TOTAL", 3_000)
    api.rules.append(in_pages(endless_rows, None))
    assert make_engine(api).sync(OPERATIONS, DAYS).pending == 1
    assert "do not end" in pending(warehouse, "operations")[ODD]
    assert len(api.requests("OperationHistory", ODD)) < 30


def test_a_long_history_is_read_in_growing_windows_and_is_exact(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    def rows(start: int, length: int) -> list[Fields]:
        return [r for r in endless_rows(start, min(length, 20)) if r["Id"] <= 5_000]

    api.rules.append(in_pages(rows, 5_000))
    report = make_engine(api, page_length=20, concurrency=16).sync(OPERATIONS, DAYS)
    assert report.is_complete
    stored = f"select count(*) from core.operations where client_id = {ODD}"
    assert column(warehouse, stored) == [5_000]
    assert api.most_in_flight["OperationHistory"] > 4


def test_endless_goods_leave_their_client_pending(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    def rule(name: str, request: Fields) -> Reply | None:
        if request.get("Client") != ODD or not request.get("ClientFavoriteId"):
            return None
        numbers = range(request["Start"], request["Start"] + request["Length"])
        goods = [{"Id": n, "ListDataId": n} for n in numbers]
        offers = api.people[ODD].offers
        return Reply(
            {"TotalRows": 1, "ClientFavorites": offers, "ListFavorites": goods, "ErrorCode": 0}
        )

    api.rules.append(rule)
    assert make_engine(api).sync(FAVOURITES, DAYS).pending == 1
    assert "do not end" in pending(warehouse, "favourites")[ODD]
    assert published(warehouse, "favourites") == [c for c in CLIENTS if c != ODD]
    assert len(api.requests("ClientFavoriteDataInfo", ODD)) < 60


def test_the_goods_of_a_clients_offers_are_requested_concurrently(
    warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    numbers = range(1, 41)
    offers = [{"Id": n, "ProcTime": f"2026-03-01T10:00:{60 - n:02}"} for n in numbers]
    goods: dict[int, list[Fields]] = {n: [{"Id": n, "ListDataId": n}] for n in numbers}
    alone = Person(1001, "2026-03-01T10:00:00", [], offers=offers, goods=goods)
    with serving(alone) as api:

        def slowly(name: str, request: Fields) -> Reply | None:
            return Reply(api.plain(name, request), delay=0.02)

        api.rules.append(slowly)
        assert make_engine(api, concurrency=16).sync(FAVOURITES, DAYS).is_complete
        assert 4 <= api.most_in_flight["ClientFavoriteDataInfo"] <= 8
    assert column(warehouse, "select count(*) from core.favourite_goods") == [len(numbers)]


def test_an_offer_has_no_goods_only_when_two_readings_agree(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    requested: list[str] = []

    def once(name: str, request: Fields) -> Reply | None:
        if request.get("Client") != ODD or not request.get("ClientFavoriteId") or requested:
            return None
        requested.append(name)
        return Reply({**api.plain(name, request), "ListFavorites": []})

    api.rules.append(once)
    assert make_engine(api).sync(FAVOURITES, DAYS).pending == 1
    assert make_engine(api).sync(FAVOURITES, DAYS).is_complete
    live = f"select count(*) from core.favourite_goods where client_id = {ODD}"
    assert column(warehouse, live) == [2]


# Rows whose day is implausible


def test_rows_of_implausible_days_are_quarantined_and_create_no_partition(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    odd = api.people[ODD]
    years = (1753, 1900, 1999, 2199, 9998)
    for year in years:
        odd.operations.append(operation(year, f"{year}-01-01T00:00:00"))
        odd.leads.append({"Id": 1, "Leads": year, "ProcTime": f"{year}-01-01T00:00:00"})
        odd.offers.append({"Id": year, "ProcTime": f"{year}-01-01T00:00:00"})
    never = operation(3, "2026-03-01T09:00:00", ExpiryDate="9999-12-31T23:59:59.9999999")
    odd.operations.append({**never, "ActiveDate": "0001-01-01T00:00:00"})
    reports = sync(make_engine(api))
    for feed in ENDPOINTS:
        assert (reports[feed].pending, reports[feed].quarantined) == (0, len(years))
    with warehouse.connect() as session:
        reasons = session.execute("select distinct reason from sync.quarantine order by 1")
        assert [reason for (reason,) in reasons.fetchall()] == sorted(
            f"{field}: business day {fault}"
            for field in ("Proctime", "ProcTime")
            for fault in ("is before 2000-01-01", "is more than 366 days after the reading")
        )
    partitions = column(
        warehouse,
        "select right(relname, 6) from pg_inherits join pg_class on pg_class.oid = inhrelid"
        " where inhparent = 'core.operations'::regclass",
    )
    assert all("2020" < month < "2099" for month in partitions)
    stored = f"select count(*) from core.operations where client_id = {ODD}"
    assert column(warehouse, stored) == [3]


@pytest.mark.slow
def test_an_invalid_row_of_an_unproven_reading_is_not_counted(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    # The same page for every start: accepted at first, refused when its end is checked.
    rows = [operation(n, f"2026-03-01T{n:02}:00:00") for n in range(9)]
    rows.append(operation(10, "1900-01-01T12:00:00"))
    api.rules.append(in_pages(lambda start, length: rows, len(rows)))
    for _ in range(2):
        reports = sync(make_engine(api))
        assert (reports["operations"].pending, reports["operations"].quarantined) == (1, 0)
        assert totals_differing(warehouse, OPERATIONS).total == 0
    api.rules.clear()
    assert all(report.is_complete for report in sync(make_engine(api)).values())


# Fields missing from a header


@pytest.mark.slow
def test_fields_missing_from_a_response_keep_their_values(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    sync(make_engine(api))
    before = _profiles(warehouse)
    assert before[ODD] == (9_000_001_002, 1, 5.5, 1)

    def without(name: str, request: Fields) -> Reply | None:
        if name == "ClientInfoPeriod" or request.get("ClientFavoriteId"):
            return None
        kept = {"Phone", "CountOffer", "SumGain", "GroupFavorites"}
        fields = {n: v for n, v in api.plain(name, request).items() if n not in kept}
        if name == "ClientFavoriteDataInfo":
            fields["CountOffer"] = 2
        return Reply(fields)

    api.rules.append(without)
    for _ in range(2):
        sync(make_engine(api, audit_share=1))
        assert _profiles(warehouse) == {c: (p, 2, s, g) for c, (p, _, s, g) in before.items()}
    verification = verify_clients(make_engine(api).settings, warehouse, None)
    assert verification.is_clean
    api.rules.clear()
    api.people[ODD].header = {"CountOffer": 3, "SumGain": None, "GroupFavorites": []}
    sync(make_engine(api))
    assert _profiles(warehouse)[ODD] == (9_000_001_002, 3, None, 0)


def _profiles(warehouse: Warehouse) -> dict[int, tuple[Any, ...]]:
    """Per client: the phone, two of the statistics, and the number of groups of goods."""
    with warehouse.connect() as session:
        rows = session.execute(
            "select clients.client_id, phone, count_offer, sum_gain,"
            " (select count(*) from core.favourite_groups as groups"
            "  where groups.client_id = clients.client_id and deleted_at is null)"
            " from core.clients left join lateral (select * from core.favourite_stats as stats"
            "  where stats.client_id = clients.client_id order by snapshot_date desc limit 1)"
            " as newest on true"
        )
        return {row[0]: row[1:] for row in rows.fetchall()}


# Responses that prove nothing


@pytest.mark.sampled(1)
@pytest.mark.parametrize("feed", ENDPOINTS)
@pytest.mark.parametrize(
    "body", [{"ErrorCode": 0}, {"ErrorCode": 0, "TotalRowsSelect": 0, "Others": []}]
)
def test_a_response_without_its_list_does_not_prove_an_empty_history(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine, feed: str, body: Fields
) -> None:
    sync(make_engine(api, delete_fuse=1))
    api.rules.append(for_client(ODD, Reply(body), ENDPOINTS[feed]))
    reports = sync(make_engine(api, delete_fuse=1, audit_share=1))
    assert [reports[other].pending for other in ENDPOINTS] == [int(f == feed) for f in ENDPOINTS]
    assert published(warehouse, feed) == list(CLIENTS)


def test_a_day_without_its_list_is_pending(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    api.rules.append(on_day("2026-03-01", Reply({"ErrorCode": 0})))
    assert make_engine(api).sync(REGISTRATIONS, DAYS).pending == 1
    api.rules.clear()
    assert make_engine(api).sync(REGISTRATIONS, DAYS).is_complete
    assert column(warehouse, "select count(*) from core.registrations") == [len(CLIENTS)]


def test_a_history_that_vanishes_counts_when_two_readings_agree(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    sync(make_engine(api))
    empty = {"Client": ODD, "Phone": 1, "Card": 1, "Rows": 0, "Operations": [], "ErrorCode": 0}
    replies = iter([Reply(empty)])
    api.rules.append(
        lambda name, request: (
            next(replies, None)
            if (name, request.get("Client")) == ("OperationHistory", ODD)
            else None
        )
    )
    assert make_engine(api).sync(OPERATIONS, DAYS).rows_deleted == 0
    assert ODD in published(warehouse, "operations")
    api.rules[:] = [for_client(ODD, Reply(empty), "OperationHistory")]
    assert make_engine(api).sync(OPERATIONS, DAYS).rows_deleted == 2


def test_a_response_about_another_client_is_never_stored(
    api: ScriptedApi, warehouse: Warehouse, make_engine: MakeEngine
) -> None:
    other = {1002: 1003, 1003: 1002}

    def swapped(name: str, request: Fields) -> Reply | None:
        if name != "OperationHistory" or request["Client"] not in other:
            return None
        return Reply(api.plain(name, {**request, "Client": other[request["Client"]]}))

    api.rules.append(swapped)
    assert make_engine(api).sync(OPERATIONS, DAYS).pending == 2
    assert published(warehouse, "operations") == [c for c in CLIENTS if c not in other]
    api.rules.clear()
    assert make_engine(api).sync(OPERATIONS, DAYS).is_complete
    owners = column(warehouse, "select operation_id / 10 = client_id from core.operations")
    assert all(owners)
