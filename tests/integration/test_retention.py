"""LCM_RETENTION_MONTHS: what is older goes, what is left adds up, and no reader is in the way."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from psycopg.types.json import Jsonb

from lcm_pipeline import feeds
from lcm_pipeline.definitions import defs
from lcm_pipeline.feeds import OPERATIONS, feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.launch import materialize_window
from lcm_pipeline.reporting.reports import make_report
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.progress import LoggedProgress
from lcm_pipeline.verify.verify import verify_clients
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.resets import reset_clients
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.missing_days import missing_window
from lcm_pipeline.warehouse.partitions import ensure_partitions
from lcm_pipeline.warehouse.privacy import expiration, old_months, old_rows
from lcm_pipeline.warehouse.privacy.expiration import (
    Expiration,
    expire,
    find_expired,
    first_stored_day,
)
from tests.commands import run
from tests.conftest import MakeSettings, Programme
from tests.databases import fetch_rows, fetch_value
from tests.marts.life import assert_as_if_computed_anew
from tests.reconciling import totals_differing
from tests.reporting.reading_pages import Page
from tests.syncing import FEEDS, sync_everything

HALF_A_YEAR = Window(date(2025, 11, 1), date(2026, 3, 30))
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
KEPT_FROM = date(2026, 1, 1)


def months(warehouse: Warehouse, parent: str) -> list[str]:
    """The months of a table, detached ones too."""
    schema, name = parent.split(".")
    return [
        str(row[0])[-6:]
        for row in fetch_rows(
            warehouse,
            f"select relname from pg_class where relnamespace = '{schema}'::regnamespace"
            f" and relkind = 'r' and relname ~ '^{name}_[0-9]+$' order by 1",
        )
    ]


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    return programme(
        start=HALF_A_YEAR.first, clients=8, habits=("leads_daily=0.2", "bad_rows=0.02")
    )


@pytest.fixture
def settings(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> Iterator[Settings]:
    """Of a programme that was synced for half a year."""
    settings = make_settings(source, warehouse, start_date=HALF_A_YEAR.first, audit_share=1.0)
    sync_everything(settings, warehouse, HALF_A_YEAR)
    refresh_marts(warehouse)
    yield settings


def two_months(warehouse: Warehouse, settings: Settings) -> Expiration:
    return expire(warehouse, 2, settings.zone, NOW)


@pytest.mark.parametrize(
    ("held", "first"),
    [(1, date(2026, 2, 1)), (2, KEPT_FROM), (3, date(2025, 12, 1)), (27, date(2023, 12, 1))],
)
def test_whole_months_are_held_beside_the_present_one(held: int, first: date) -> None:
    assert first_stored_day(held, NOW) == first


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many batches as a large programme has."""
    monkeypatch.setattr(old_rows, "_BLOCKS_AT_ONCE", 1)
    monkeypatch.setattr(old_months, "_BLOCKS_OF_OFFERS_AT_ONCE", 1)


def test_old_months_go_the_marts_follow_and_everything_that_is_left_adds_up(
    settings: Settings, source: RunningSimulator, warehouse: Warehouse
) -> None:
    kept = f"from core.operations where operation_date >= '{KEPT_FROM}'"
    before = fetch_rows(warehouse, f"select * {kept} order by 1, 2, 3, 4")
    stats = fetch_rows(
        warehouse,
        "select distinct on (client_id) client_id, sum_gain, count_offer from core.favourite_stats"
        " order by client_id, snapshot_date desc",
    )
    assert "202511" in months(warehouse, "core.operations")
    expired = two_months(warehouse, settings)
    assert expired.kept_from == KEPT_FROM
    assert not expired.left
    for table in ("core.operations", "core.leads", "core.favourite_offers", "core.favourite_stats"):
        assert min(months(warehouse, table)) >= "202601"
    assert fetch_rows(warehouse, f"select * {kept} order by 1, 2, 3, 4") == before
    orphans = (
        "select count(*) from core.favourite_goods as goods where not exists"
        " (select from core.favourite_offers as offers"
        " where offers.favourite_id = goods.favourite_id)"
    )
    assert fetch_value(warehouse, orphans) == 0
    for feed in FEEDS:
        assert totals_differing(warehouse, feed_named(feed)).listed == []
    # The next sync reads everybody in full, and brings nothing of it back.
    client = min(source.world.programme.customers)
    source.world.mutate("insert_top", client)
    reports = sync_everything(settings, warehouse, HALF_A_YEAR)
    assert all(report.pending == 0 for report in reports.values())
    assert fetch_value(warehouse, "select min(operation_date) from core.operations") >= KEPT_FROM  # type: ignore[operator]
    assert fetch_value(warehouse, "select count(*) from core.favourite_stats"
               " where snapshot_date < '2026-01-01'") == 0  # fmt: skip
    for feed in FEEDS:
        assert totals_differing(warehouse, feed_named(feed)).listed == []
    assert stats == fetch_rows(
        warehouse,
        "select distinct on (client_id) client_id, sum_gain, count_offer from core.favourite_stats"
        " order by client_id, snapshot_date desc",
    )
    assert verify_clients(settings, warehouse, None).is_clean
    refresh_marts(warehouse)
    assert fetch_value(warehouse, "select min(day) from mart.store_daily") >= KEPT_FROM  # type: ignore[operator]
    assert fetch_value(warehouse, "select min(day) from mart.leads_daily") >= KEPT_FROM  # type: ignore[operator]
    assert_nothing_is_zero_that_is_not_stored(warehouse)
    assert fetch_value(warehouse, "select count(*) from mart.restated_answers"
               " where reason not like '%late%'") == 0  # fmt: skip
    assert_as_if_computed_anew(warehouse, "after old months went")


def assert_nothing_is_zero_that_is_not_stored(warehouse: Warehouse) -> None:
    """Members are known for longer than their purchases: these are null, or have no row."""
    days = fetch_rows(
        warehouse,
        "select day >= '2026-01-01', count(*) = count(new_members), count(purchases),"
        " count(buyers), count(points_added), count(active_balance), count(balance_method)"
        " from mart.program_daily group by 1 order by 1",
    )
    assert days == [(False, True, 0, 0, 0, 0, 0), (True, True, 89, 89, 89, 89, 89)]
    for column in ("activity_monthly.month", "cohort_retention.cohort_month + make_interval(months"
                   " => cohort_retention.month_number)"):  # fmt: skip
        mart = column.partition(".")[0]
        first = f"select min({column})::date from mart.{mart}"
        assert fetch_value(warehouse, first) == KEPT_FROM
    assert fetch_rows(
        warehouse,
        "select month, count(active_30_days) > 0, count(active_90_days) > 0,"
        " count(active_365_days) > 0, count(lapsed) > 0, count(reactivated) > 0"
        " from mart.activity_monthly group by 1 order by 1",
    ) == [
        (KEPT_FROM, True, False, False, False, True),
        (date(2026, 2, 1), True, False, False, False, True),
        # Of the 90 days through 30 March, the first is not stored.
        (date(2026, 3, 1), True, False, False, False, True),
    ]
    lifetime = "select count(cumulative_net_sales_per_member) from mart.cohort_retention"
    assert fetch_value(warehouse, f"{lifetime} where cohort_month < '2026-01-01'") == 0
    assert fetch_rows(
        warehouse,
        "select distinct bought is null, bought_share is null, days_to_first_purchase is null,"
        " is_mature from mart.enrolment_daily where day < '2026-01-01'",
    ) == [(True, True, True, False)]
    page = Page(make_report(warehouse, language="en").html)
    cohorts = [cells for title, cells in page.rows("clients") if "2025" in title]
    assert [(cells[1], cells[-1] != "—") for cells in cohorts] == [("—", True)]


@pytest.mark.slow
def test_marts_follow_a_removal_that_ended_before_they_were_refreshed(
    settings: Settings, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(expiration, "refresh_marts", end)
        with pytest.raises(KeyboardInterrupt):
            two_months(warehouse, settings)
    assert months(warehouse, "core.operations")[0] == "202601"
    # Nothing is left to remove, but the marts do not show it yet.
    assert not two_months(warehouse, settings).rows
    assert fetch_value(warehouse, "select min(day) from mart.store_daily") >= KEPT_FROM  # type: ignore[operator]
    assert_as_if_computed_anew(warehouse, "after an interrupted removal")


def test_marts_of_past_days_show_no_version_of_a_row_that_is_no_longer_kept(
    settings: Settings, warehouse: Warehouse
) -> None:
    """Versions that ended this month are kept, also those of rows of months that are not."""
    shown = (
        f"select (select count(*) from mart.lot_versions where issue_date < '{KEPT_FROM}'),"
        f" (select count(*) from mart.leads_sla_on('{HALF_A_YEAR.last}')"
        f" where day < '{KEPT_FROM}')"
    )
    with warehouse.connect(autocommit=True) as session:
        for table, values in (
            ("operations", {"bonus_id": 1, "added": 5, "remain": 5, "expires_at": None}),
            ("leads", {"status_name": "earlier"}),
        ):
            ensure_partitions(session, "history", table, [datetime.now(UTC).date()])
            session.execute(
                f"insert into history.{table} select version.* from core.{table} as present"
                f" cross join jsonb_populate_record(null::history.{table}, to_jsonb(present)"
                " || %s || jsonb_build_object('valid_from', present.synced_at - interval '1 hour',"
                " 'valid_to', now())) as version where present.deleted_at is null",
                (Jsonb(values),),
            )
    assert all(fetch_rows(warehouse, shown)[0])
    two_months(warehouse, settings)
    assert fetch_rows(warehouse, shown) == [(0, 0)]


@pytest.mark.slow
def test_a_sync_takes_old_rows_that_could_not_be_removed_yet_for_neither_vanished_nor_lost(
    settings: Settings, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    # A reader of the table has the same effect, where the user is not the owner.
    with monkeypatch.context() as patched:
        patched.setattr(expiration, "remove_months", end)
        with pytest.raises(KeyboardInterrupt):
            two_months(warehouse, settings)
    assert months(warehouse, "core.operations")[0] == "202511"
    vanished = "select count(*) from core.operations where deleted_at is not null"
    before = fetch_value(warehouse, vanished)
    with warehouse.connect() as session:
        # Each client is read in full, as lcm reset lets it be, and its old rows are not staged.
        reset_clients(session, [feed.name for feed in feeds.CLIENT_FEEDS], None)
    sync_everything(settings, warehouse, HALF_A_YEAR)
    assert fetch_value(warehouse, vanished) == before
    for feed in FEEDS:
        assert totals_differing(warehouse, feed_named(feed)).listed == []
    found = verify_clients(settings, warehouse, None).differences
    assert not [one for one in found if one.table in ("operations", "leads", "favourite_offers")]
    assert not two_months(warehouse, settings).left
    assert months(warehouse, "core.operations")[0] == "202601"


def test_the_delete_fuse_does_not_count_rows_that_are_no_longer_kept(
    settings: Settings, source: RunningSimulator, warehouse: Warehouse
) -> None:
    expire(warehouse, 1, settings.zone, NOW)
    [(client, lost)] = fetch_rows(
        warehouse,
        "select client_id, count(*)::int from core.operations where deleted_at is null"
        " group by 1 order by 2 desc limit 1",
    )
    [(total, kept)] = fetch_rows(
        warehouse,
        "select sum(source_total)::int, sum(source_total - expired)::int from sync.client_state"
        " where feed = 'operations'",
    )
    assert isinstance(lost, int)
    assert isinstance(total, int)
    assert isinstance(kept, int)
    # More than the limit of the rows that are kept, and less than that of all.
    limit = lost * (1 / total + 1 / kept) / 2
    assert lost > 10
    source.world.mutate("delete_all", client)
    limited = settings.model_copy(update={"delete_fuse": limit})
    with pytest.raises(SyncError, match=f"no longer has {lost} of {kept} rows"):
        SyncEngine(limited, warehouse).sync(feeds.OPERATIONS, HALF_A_YEAR)


def test_more_months_than_any_programme_has_hold_everything(
    settings: Settings, warehouse: Warehouse
) -> None:
    assert first_stored_day(1200, NOW) == date(2000, 1, 1)
    assert not expire(warehouse, 1200, settings.zone, NOW).rows


def test_nobody_asks_for_days_that_are_not_held(settings: Settings, warehouse: Warehouse) -> None:
    assert missing_window(warehouse, HALF_A_YEAR.first, HALF_A_YEAR.last) is None
    two_months(warehouse, settings)
    assert missing_window(warehouse, HALF_A_YEAR.first, HALF_A_YEAR.last) is None
    days = "select min(day) from sync.day_completeness where feed = 'operations'"
    assert fetch_value(warehouse, days) == KEPT_FROM
    assert fetch_value(warehouse, "select min(day) from sync.day_completeness"
               " where feed = 'registrations'") == HALF_A_YEAR.first  # fmt: skip
    with warehouse.connect() as session:
        session.execute(
            "update sync.client_state set pending_since = now(), proven_date = null"
            " where feed = 'leads'"
        )
    window = missing_window(warehouse, HALF_A_YEAR.first, HALF_A_YEAR.last)
    assert window is not None
    assert window.first == KEPT_FROM
    later = HALF_A_YEAR.last + timedelta(days=1)
    assert missing_window(warehouse, later, HALF_A_YEAR.last) is None


def a_year_of_months(warehouse: Warehouse, first: int = 2024) -> None:
    """A warehouse that has run for long: a row in each of 24 months, of everything that grows."""
    days = [date(first + n // 12, n % 12 + 1, 5) for n in range(24)]
    with warehouse.connect(autocommit=True) as session:
        for table in ("operations", "leads", "favourite_offers", "favourite_stats"):
            ensure_partitions(session, "core", table, days)
        for table in ("operations", "leads", "favourite_offers", "clients"):
            ensure_partitions(session, "history", table, days)
        for number, day in enumerate(days, start=1):
            session.execute(
                "insert into core.clients (client_id, registration_date, sync_run_id,"
                " first_seen_at, synced_at) values (%(n)s, %(day)s, 1, %(day)s, %(day)s);"
                .replace("%(n)s", str(number)).replace("%(day)s", f"'{day}'").encode()
            )  # fmt: skip
            _grow(session, number, day)


def _grow(session: psycopg.Connection, number: int, day: date) -> None:
    """What a month leaves behind."""
    values = {"n": number, "day": day}
    for statement in (
        "insert into sync.runs (feed, window_from, window_to, status, started_at, finished_at)"
        " values ('operations', %(day)s, %(day)s, 'published', %(day)s, %(day)s)",
        "insert into sync.window_days (feed, day, run_id, published_at)"
        " values ('operations', %(day)s, %(n)s, %(day)s)",
        "insert into sync.commands (feeds, window_from, window_to, status, started_at, finished_at)"
        " values ('{operations}', %(day)s, %(day)s, 'finished', %(day)s, %(day)s)",
        "insert into sync.client_state (feed, client_id, source_total, version, read_at)"
        " values ('operations', %(n)s, 1, 1, %(day)s)",
        "insert into core.operations (operation_date, client_id, component_type, operation_id,"
        " processed_at, sync_run_id, first_seen_at, synced_at)"
        " values (%(day)s, %(n)s, 1, %(n)s, %(day)s, 1, %(day)s, %(day)s)",
        "insert into history.operations (operation_date, client_id, component_type, operation_id,"
        " processed_at, valid_from, valid_to)"
        " values (%(day)s, %(n)s, 1, %(n)s, %(day)s, %(day)s, %(day)s)",
        "insert into core.favourite_stats (snapshot_date, client_id, sum_gain, sync_run_id,"
        " first_seen_at, synced_at) values (%(day)s, 1, %(n)s, 1, %(day)s, %(day)s)",
        "insert into sync.quarantine (feed, client_id, row_digest, table_name, reason, raw,"
        " sync_run_id, resolved_at)"
        " values ('operations', %(n)s, '\\x00', 'operations', 'bad', '', 1, %(day)s)",
        "insert into outbox.pushes (started_at, finished_at, status, last_update_id)"
        " values (%(day)s, %(day)s, 'done', %(n)s)",
        "insert into outbox.profile_updates (client_id, name, status, requested_at, sent_at,"
        " push_id, sent_values) values (%(n)s, 'Анна', 'sent', %(day)s, %(day)s,"
        ' (select max(push_id) from outbox.pushes), \'{"name": "Анна"}\')',
        "insert into outbox.attempts (update_id, attempt_number, push_id, began_at, field_names)"
        " select update_id, 1, push_id, %(day)s, '{name}' from outbox.profile_updates"
        " where client_id = %(n)s",
    ):
        session.execute(statement.encode(), values)


BOUNDED = {
    "sync.runs": 3, "sync.window_days": 3, "sync.commands": 3, "sync.quarantine": 3,
    "outbox.pushes": 3, "outbox.profile_updates": 3, "outbox.attempts": 3,
    "core.operations": 3, "history.operations": 3, "core.favourite_stats": 4,
}  # fmt: skip


@pytest.mark.slow
def test_two_years_leave_as_many_rows_as_three_months(
    warehouse: Warehouse, make_settings: MakeSettings, programme: Programme
) -> None:
    settings = make_settings(programme(clients=0), warehouse)
    a_year_of_months(warehouse)
    now = datetime(2025, 12, 6, tzinfo=UTC)
    expired = expire(warehouse, 2, settings.zone, now)
    assert not expired.left
    for table, most in BOUNDED.items():
        assert fetch_value(warehouse, f"select count(*) from {table}") == most, table
    for table in ("core.operations", "core.leads", "history.operations", "history.clients"):
        assert {name for name in months(warehouse, table) if name < "202512"} == {
            "202510", "202511"
        }, table  # fmt: skip
    # The newest numbers of before are those of the first day that is held.
    assert fetch_value(warehouse, "select sum_gain from core.favourite_stats"
               " where snapshot_date = '2025-10-01'") == 21  # fmt: skip
    assert totals_differing(warehouse, OPERATIONS).listed == []


@pytest.mark.slow
def test_months_that_were_never_analyzed_are_counted_and_an_earlier_limit_is_reported(
    warehouse: Warehouse, make_settings: MakeSettings, programme: Programme
) -> None:
    settings = make_settings(programme(clients=0), warehouse)
    a_year_of_months(warehouse)
    with warehouse.connect(autocommit=True) as session:
        session.execute("analyze core.operations_202402")
        # Somebody's copy of a month.
        session.execute("create table core.operations_202312 as table core.operations_202401")
    found = {rows.table: rows for rows in find_expired(warehouse, 1, settings.zone).rows}
    counted, estimated = found["core.operations_202401"], found["core.operations_202402"]
    assert (counted.rows, counted.is_estimate) == (1, False)
    assert (estimated.rows, estimated.is_estimate) == (1, True)
    now = datetime(2025, 12, 6, tzinfo=UTC)
    first = expire(warehouse, 2, settings.zone, now)
    assert first.requested_from == first.kept_from == date(2025, 10, 1)
    removed = {rows.table: rows.rows for rows in first.rows}
    assert removed["core.operations_202401"] == 1
    assert "core.operations_202312" not in removed
    assert fetch_value(warehouse, "select count(*) from core.operations_202312") == 1
    longer = expire(warehouse, 12, settings.zone, now)
    assert (longer.kept_from, longer.requested_from) == (date(2025, 10, 1), date(2024, 12, 1))


@pytest.mark.slow
def test_a_reader_of_an_old_month_is_neither_waited_for_nor_in_anybodys_way(
    warehouse: Warehouse, make_settings: MakeSettings, programme: Programme
) -> None:
    source = programme(clients=3)
    settings = make_settings(source, warehouse)
    a_year_of_months(warehouse)
    now = datetime(2025, 12, 6, tzinfo=UTC)
    with warehouse.connect() as reader:
        seen = "select count(*) from core.operations where operation_date < '2025-10-01'"
        reader.execute("select count(*) from core.operations_202401")
        assert reader.execute(seen).fetchone() == (21,)
        expired = expire(warehouse, 2, settings.zone, now)
        left = {rows.table: rows.left for rows in expired.left}
        assert left.pop("core.operations_202401") == "another session reads it"
        # Of a table one month after the other is removed; those that had to wait are named too.
        assert set(left.values()) == {"core.operations_202401 has to be removed first"}
        assert months(warehouse, "core.operations") == [
            "202401", *(name[-6:] for name in sorted(left)), "202510", "202511", "202512",
        ]  # fmt: skip
        # History was read by nobody, and is gone; totals add up all the same.
        assert months(warehouse, "history.operations")[0] == "202510"
        assert totals_differing(warehouse, OPERATIONS).listed == []
        # Neither readers nor a publish wait for who still reads the month.
        assert (
            fetch_value(warehouse, "select count(*) from core.operations where client_id = 24") == 1
        )
        with warehouse.connect() as session:
            session.execute("delete from core.clients")
            session.execute("delete from sync.client_state")
        assert sync_everything(settings, warehouse)["operations"].pending == 0
        # Who began to read before goes on to see what was there.
        assert reader.execute("select count(*) from core.operations_202401").fetchone() == (1,)
    assert not expire(warehouse, 2, settings.zone, now).left
    assert months(warehouse, "core.operations")[0] == "202510"


def test_rows_that_were_staged_before_a_month_went_are_read_again(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(source, warehouse, start_date=HALF_A_YEAR.first)
    engine = SyncEngine(settings, warehouse)
    engine.sync(feeds.REGISTRATIONS, HALF_A_YEAR)
    engine.start(feeds.OPERATIONS, HALF_A_YEAR)
    engine.read(feeds.OPERATIONS, HALF_A_YEAR)
    two_months(warehouse, settings)
    assert engine.publish(feeds.OPERATIONS, HALF_A_YEAR).pending == 0
    assert fetch_value(warehouse, "select min(operation_date) from core.operations") >= KEPT_FROM  # type: ignore[operator]
    assert totals_differing(warehouse, OPERATIONS).listed == []


@pytest.mark.slow
def test_the_command_shows_what_would_go_and_removes_it_when_told(
    tmp_path: Path, warehouse: Warehouse, programme: Programme
) -> None:
    a_year_of_months(warehouse)
    source = programme(clients=3)
    variables = {"LCM_DATABASE_URL": warehouse.url, "LCM_API_URL": source.url}
    unset = run(tmp_path, "retention", **variables)
    assert (unset.returncode, "LCM_RETENTION_MONTHS is not set" in unset.stderr) == (2, True)
    variables["LCM_RETENTION_MONTHS"] = "6"
    shown = run(tmp_path, "retention", **variables)
    assert shown.returncode == 0, shown.stderr
    assert "core.operations_202401" in shown.stdout
    assert "?" not in shown.stdout
    assert "--apply" in shown.stdout
    assert fetch_value(warehouse, "select count(*) from core.operations") == 24
    state = "update sync.client_state set source_total = {} where client_id = 24 returning true"
    assert fetch_value(warehouse, state.format(2))
    blocked = run(tmp_path, "retention", "--apply", **variables)
    assert (blocked.returncode, "totals differ in operations" in blocked.stderr) == (1, True)
    assert fetch_value(warehouse, "select count(*) from core.operations") == 24
    assert fetch_value(warehouse, state.format(1))
    done = run(tmp_path, "retention", "--apply", "--json", **variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept_from"] > "2026-01-01"
    assert fetch_value(warehouse, "select count(*) from core.operations") == 0
    longer = run(tmp_path, "retention", **variables | {"LCM_RETENTION_MONTHS": "9"}).stdout
    assert "nothing is older" in longer
    assert "an earlier, shorter limit still holds" in longer


@pytest.mark.slow
def test_a_sync_removes_what_is_old_and_asks_for_none_of_it(
    tmp_path: Path, warehouse: Warehouse, programme: Programme
) -> None:
    source = programme(clients=3)
    variables = {
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_API_URL": source.url,
        "LCM_RETENTION_MONTHS": "1",
    }
    done = run(tmp_path, "sync", "--from", "2026-03-01", "--to", "2026-03-30", **variables)
    assert done.returncode == 0, done.stderr
    # March is long gone: nothing was staged, and all adds up.
    assert fetch_value(warehouse, "select count(*) from core.operations") == 0
    assert fetch_value(warehouse, "select count(*) from core.clients") == 3
    assert fetch_value(warehouse, "select sum(expired) from sync.client_state") > 0  # type: ignore[operator]
    again = run(tmp_path, "sync", "--from", "2026-03-01", "--to", "2026-03-30", **variables)
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_a_sync_of_one_feed_removes_nothing_as_it_checks_no_other(
    settings: Settings, warehouse: Warehouse
) -> None:
    limited = settings.model_copy(update={"retention_months": 1})
    held = months(warehouse, "core.operations")
    last = Window(HALF_A_YEAR.last, HALF_A_YEAR.last)
    materialize_window(limited, warehouse, last, LoggedProgress(), ["leads"])
    assert months(warehouse, "core.operations") == held
    materialize_window(limited, warehouse, last, LoggedProgress())
    assert not set(held).intersection(months(warehouse, "core.operations"))


@pytest.mark.slow
def test_the_nightly_job_removes_nothing_while_totals_block_the_marts(
    settings: Settings, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCM_DATABASE_URL", warehouse.url)
    monkeypatch.setenv("LCM_RETENTION_MONTHS", "1")

    def run_nightly_job() -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            job = defs.resolve_job_def("delete_old_runs")
            assert job.execute_in_process(instance=instance).success

    held, sales = (
        months(warehouse, "core.operations"),
        fetch_rows(warehouse, "table mart.sales_daily"),
    )
    [(lost,)] = fetch_rows(
        warehouse,
        "delete from core.operations where amount > 0 and operation_id ="
        " (select max(operation_id) from core.operations where amount > 0) returning client_id",
    )
    run_nightly_job()
    assert months(warehouse, "core.operations") == held
    assert fetch_rows(warehouse, "table mart.sales_daily") == sales
    fetch_rows(
        warehouse,
        "update sync.client_state set source_total = source_total - 1"
        f" where feed = 'operations' and client_id = {lost} returning true",
    )
    run_nightly_job()
    assert not set(held).intersection(months(warehouse, "core.operations"))
