"""A refresh: what it computes, what it leaves unchanged, and what readers see meanwhile."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.feeds import OPERATIONS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.progress import LoggedProgress
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.marts.install import install_marts
from lcm_pipeline.warehouse.marts.refresh import (
    MartRefusedError,
    marts_behind,
    refresh_marts,
)
from lcm_pipeline.warehouse.marts.scope import Scope
from lcm_pipeline.warehouse.queries import fetch_column
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.worlds import sync
from tests.syncing import sync_everything

START, FIRST = date(2026, 1, 10), date(2026, 3, 1)
KEPT = [mart.name for mart in marts() if mart.kind == "table"]
_CHANGES = ("insert_top", "insert_middle", "delete_random", "change")
STORED = [mart.name for mart in marts() if mart.kind != "view"]


@pytest.fixture
def lively() -> Iterator[RunningSimulator]:
    """A programme in which cheques are cancelled, cards merge, and lots expire every day."""
    config = build_config(
        start=START, now=datetime(2026, 3, 2), clients=40, seed=5, habits=("cancelled=0.05",)
    )
    with RunningSimulator(config) as simulator:
        yield simulator


def _sync(lively: RunningSimulator, warehouse: Warehouse, home: Path, last: date) -> None:
    midnight = datetime(last.year, last.month, last.day) + timedelta(days=1)
    lively.world.advance(midnight)
    sync(lively, warehouse, home, START, last)


@pytest.mark.slow
def test_computing_the_changed_clients_is_enough(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Day by day, the incremental marts equal a full computation."""
    for ahead in (0, 1, 2, 3, 10, 40, 41, 120):
        _sync(lively, warehouse, tmp_path, FIRST + timedelta(days=ahead))
        for name in KEPT:
            assert _rows(warehouse, "mart", name) == _computed(warehouse, name), (name, ahead)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_after_any_change_the_marts_equal_a_full_computation(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path, seed: int
) -> None:
    """Rows arrive, change and vanish; at the end every mart equals a full computation."""
    chance, clients = random.Random(seed), sorted(lively.world.programme.customers)
    for ahead in range(5):
        for client in chance.sample(clients, 12):
            lively.world.mutate(chance.choice(_CHANGES), client)
        _sync(lively, warehouse, tmp_path, FIRST + timedelta(days=ahead))
        for name in KEPT:
            assert _rows(warehouse, "mart", name) == _computed(warehouse, name), (name, ahead)
    kept = {name: _rows(warehouse, "mart", name) for name in STORED}
    refresh_marts(warehouse, everything=True)
    for name in STORED:
        assert _rows(warehouse, "mart", name) == kept[name], name


@pytest.mark.slow
def test_a_day_without_a_changed_cheque_is_not_rewritten(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    _sync(lively, warehouse, tmp_path, FIRST)
    before = _places(warehouse, "sales_daily")
    _sync(lively, warehouse, tmp_path, FIRST + timedelta(days=1))
    after = _places(warehouse, "sales_daily")
    days = {day for day, _ in after - before}
    assert FIRST + timedelta(days=1) in days
    assert len(days) < len({day for day, _ in after}) / 2


@pytest.mark.slow
def test_a_history_that_reaches_its_new_client_later_is_correct_for_the_old_one_too(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Cards merge, and the old client is read in one publish, the new one in the next."""
    _sync(lively, warehouse, tmp_path, FIRST)
    settings = load_settings(
        api_url=lively.url, database_url=warehouse.url, home=tmp_path, delete_fuse=1.0
    )
    engine, day = SyncEngine(settings, warehouse), Window(FIRST, FIRST)
    with warehouse.connect() as session:
        spending = session.execute(
            "select client_id from core.operations where added > coalesce(remain, 0)"
            " and deleted_at is null group by 1 order by count(*) desc, 1 limit 2"
        ).fetchall()
    [old], [new] = spending
    lively.world.merge(old, new)
    for client in (old, new):
        engine.read_again(OPERATIONS, day, [client])
        refresh_marts(warehouse)
        for name in KEPT:
            assert _rows(warehouse, "mart", name) == _computed(warehouse, name), (name, client)


@pytest.mark.slow
def test_the_ledger_of_a_client_is_the_same_whoever_is_computed_with_it(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Its refunds tell no points, so which of them gave some back is an allocation."""
    config = build_config(
        start=START, now=datetime(2026, 2, 21), clients=25, seed=3, habits=("cancelled=0.05",)
    )
    with RunningSimulator(config) as simulator:
        sync(simulator, warehouse, tmp_path, START, date(2026, 2, 20))
    with warehouse.connect() as session:
        [client] = session.execute(
            "select client_id from mart.cheques where is_refund and redeemed = 0"
            " group by 1 order by count(*) desc limit 1"
        ).fetchone() or (None,)
        session.execute("insert into refresh.scope (client_id) values (%s)", (client,))
        alone, stored = (
            session.execute(
                f"select moved::text from {schema}.points_movements as moved"
                " where client_id = %s order by 1".encode(),
                (client,),
            ).fetchall()
            for schema in ("refresh", "mart")
        )
        session.rollback()
    assert len(stored) > 100
    assert alone == stored


@pytest.mark.slow
def test_a_spending_order_that_is_decided_reaches_every_client(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it is the one that was taken so far: it is likelier now than another order."""
    config = build_config(
        start=START, now=datetime(2026, 2, 21), clients=25, seed=5, habits=("cancelled=0.05",)
    )
    detect = Scope._record_findings

    def decide(scope: Scope, name: str) -> None:
        detect(scope, name)
        if name == "detect_spending_order":
            scope.session.execute(
                "update refresh.findings set detected = 'soonest_to_expire', votes = 20,"
                " share = 1, is_decided = true where convention = 'spending_order'"
            )

    with RunningSimulator(config) as simulator:
        _sync(simulator, warehouse, tmp_path, date(2026, 2, 20))
        monkeypatch.setattr(Scope, "_record_findings", decide)
        # The rows of one client change.
        simulator.world.mutate("insert_top", min(simulator.world.programme.customers))
        sync(simulator, warehouse, tmp_path, START, date(2026, 2, 20))
    assert_as_if_computed_anew(warehouse, "after the spending order was decided")


class _Meanwhile(LoggedProgress):
    """Does something else once a run has begun, before it reads a client."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work

    def start(self, feed: str, total: int, done: int) -> None:
        super().start(feed, total, done)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(self._work).result()


@pytest.mark.slow
def test_a_run_that_ends_after_a_newer_one_reaches_the_marts(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """A long backfill reads while the days that passed are synced and shown."""
    _sync(lively, warehouse, tmp_path, FIRST)
    settings = load_settings(
        api_url=lively.url, database_url=warehouse.url, home=tmp_path, delete_fuse=1.0
    )

    def sync_the_next_day() -> None:
        _sync(lively, warehouse, tmp_path, FIRST + timedelta(days=1))
        for client in sorted(lively.world.programme.customers)[:10]:
            lively.world.mutate("delete_random", client)

    engine = SyncEngine(settings, warehouse, _Meanwhile(sync_the_next_day))
    report = engine.sync(OPERATIONS, Window(FIRST, FIRST))
    assert report.rows_deleted
    refresh_marts(warehouse)
    for name in KEPT:
        assert _rows(warehouse, "mart", name) == _computed(warehouse, name), name


def test_a_cheque_shared_by_a_publish_that_took_days_counts_once(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Its rows have the time at which it began, before the marts were refreshed last."""
    _sync(lively, warehouse, tmp_path, FIRST)
    with warehouse.connect() as session:
        session.execute(
            """
            with published as (
                insert into core.operations
                select (jsonb_populate_record(
                    operations,
                    jsonb_build_object(
                        'client_id', other.client_id,
                        'first_seen_at', now() - interval '3 days',
                        'synced_at', now() - interval '3 days'
                    )
                )).*
                from core.operations
                cross join (select max(client_id) as client_id from core.operations) as other
                where
                    operations.cheque_id = operations.operation_id
                    and operations.client_id <> other.client_id
                returning client_id, synced_at
            )
            insert into refresh.changed_clients select distinct client_id, synced_at from published
            """
        )
        session.execute("update refresh.marts set signature = 'another'")
    refresh_marts(warehouse)
    kept = _rows(warehouse, "mart", "cheques")
    refresh_marts(warehouse, everything=True)
    assert _rows(warehouse, "mart", "cheques") == kept


@pytest.mark.slow
def test_a_row_that_does_not_differ_is_not_rewritten(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Also if another row of the same client differs."""
    _sync(lively, warehouse, tmp_path, FIRST)
    before = {name: _versions(warehouse, name) for name in KEPT}
    _sync(lively, warehouse, tmp_path, FIRST + timedelta(days=1))
    for name in KEPT:
        after = _versions(warehouse, name)
        alike = before[name].keys() & after.keys()
        assert {row for row in alike if after[row] != before[name][row]} == set(), name


@pytest.mark.slow
def test_a_lot_with_only_another_remain_changes_no_day(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    _sync(lively, warehouse, tmp_path, FIRST)
    with warehouse.connect(autocommit=True) as session:
        session.execute("update core.operations set remain = remain + 1 where added > 0")
        session.execute("insert into refresh.changed_clients select client_id from mart.lots")
        session.execute("update refresh.marts set signature = 'another'")
    before = _versions(warehouse, "store_daily")
    rows = {one.name: one.rows for one in refresh_marts(warehouse)}
    assert rows["lots"] > 0
    assert (rows["store_daily"], rows["earn_mix"]) == (0, 0)
    assert _versions(warehouse, "store_daily") == before


@pytest.mark.slow
def test_days_and_months_without_changes_are_not_computed(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """A row inserted by hand stays until its day is computed."""
    _sync(lively, warehouse, tmp_path, FIRST)
    by_hand = {"restated_rows": "day", "points_liability_daily": "day", "redemption": "month"}
    with warehouse.connect(autocommit=True) as session:
        for name, column in by_hand.items():
            session.execute(
                SQL("insert into {} ({}) values ('2020-01-01')").format(
                    Identifier("mart", name), Identifier(column)
                )
            )
    before = {name: _rows(warehouse, "mart", name) for name in by_hand}
    _sync(lively, warehouse, tmp_path, FIRST + timedelta(days=1))
    for name in by_hand:
        assert any("2020-01-01" in text for (text,) in _rows(warehouse, "mart", name)), name
    added = _rows(warehouse, "mart", "points_liability_daily") - before["points_liability_daily"]
    assert any(f"({FIRST + timedelta(days=1)}" in text for (text,) in added)
    refresh_marts(warehouse, everything=True)
    for name in by_hand:
        assert not any("2020-01-01" in text for (text,) in _rows(warehouse, "mart", name)), name


@pytest.mark.slow
def test_points_that_expire_soon_are_not_rewritten_every_day(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """A day later they have one day less left, which is computed when they are queried."""
    _sync(lively, warehouse, tmp_path, FIRST)
    before, shown = (
        _versions(warehouse, "expiring_lots"),
        _rows(warehouse, "mart", "points_expiring"),
    )
    _sync(lively, warehouse, tmp_path, FIRST + timedelta(days=1))
    after = _versions(warehouse, "expiring_lots")
    alike = before.keys() & after.keys()
    assert len(alike) > len(before) / 2
    assert all(after[row] == before[row] for row in alike)
    assert not shown.keys() & _rows(warehouse, "mart", "points_expiring").keys()


def test_a_renamed_store_has_its_new_name_on_every_day(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    _sync(lively, warehouse, tmp_path, FIRST)
    with warehouse.connect(autocommit=True) as session:
        session.execute("update core.points_of_sale set name = 'Новая', synced_at = now()")
    refresh_marts(warehouse)
    with warehouse.connect() as session:
        names = session.execute(
            "select distinct store_name from mart.store_daily where pos_id is not null"
        ).fetchall()
    assert names == [("Новая",)]


def test_the_lots_of_a_few_clients_are_read_from_the_copied_operations(
    warehouse: Warehouse,
) -> None:
    """Joined with all operations, they took three reads of each of 20 million rows a day."""
    with warehouse.connect() as session:
        tables = session.execute(
            "select table_schema, table_name from information_schema.view_table_usage"
            " where view_schema = 'refresh' and view_name = 'lot_rows'"
        ).fetchall()
    assert ("refresh", "scope_operations") in tables
    assert ("core", "operations") not in tables


def test_the_conditions_of_indexes_have_statistics(warehouse: Warehouse) -> None:
    """Without them, the planner expects half of all cheques where there are none."""
    with warehouse.connect() as session:
        columns = fetch_column(session, "indexed_columns", {"mart": "mart.cheques"})
    assert {"client_id", "day", "cheque_id", "is_only_teller"} <= set(columns)


@pytest.mark.slow
def test_an_equal_state_is_not_computed_again(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    _sync(lively, warehouse, tmp_path, FIRST)
    always = {"data_completeness", "leads_sla", "restatements"}
    assert _computed_again(warehouse) == always
    with warehouse.connect(autocommit=True) as session:
        session.execute("update core.goods set synced_at = now()")
    assert _computed_again(warehouse) == always | {"favourite_goods_monthly"}
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set point_value = 2")
    assert not any(one.is_skipped for one in refresh_marts(warehouse))


def _computed_again(warehouse: Warehouse) -> set[str]:
    return {one.name for one in refresh_marts(warehouse) if not one.is_skipped}


def test_tables_recreated_between_a_publish_and_its_refresh_are_correct(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """As by an upgrade after a killed sync: they show days that the other tables do not."""
    _sync(lively, warehouse, tmp_path, FIRST)
    last = FIRST + timedelta(days=1)
    with warehouse.connect(autocommit=True) as session:
        # In 90 days from the next day, also those of clients without a change.
        session.execute(
            "update core.operations set expires_at = %s where expires_at > %s",
            (datetime(2026, 5, 31, 12, tzinfo=UTC), FIRST),
        )
    refresh_marts(warehouse, everything=True)
    lively.world.advance(datetime(last.year, last.month, last.day) + timedelta(days=1))
    settings = load_settings(
        home=tmp_path, api_url=lively.url, database_url=warehouse.url, delete_fuse=1
    )
    reports = sync_everything(settings, warehouse, Window(START, last))
    assert all(report.is_complete for report in reports.values())
    with warehouse.connect(autocommit=True) as session:
        session.execute("update lcm_marts set checksum = '' where name = 'expiring_lots'")
        assert install_marts(session) == ["expiring_lots"]
    refresh_marts(warehouse)
    assert_as_if_computed_anew(warehouse, "after the upgrade")


def test_what_a_restore_could_not_compute_is_computed_by_the_next_refresh(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """A materialized view without rows, as pg_restore leaves it on a full disk or a time-out."""
    _sync(lively, warehouse, tmp_path, FIRST)
    rows = _rows(warehouse, "mart", "leads_daily")
    with warehouse.connect(autocommit=True) as session:
        session.execute("refresh materialized view mart.leads_daily with no data")
        assert marts_behind(session) == ["leads_daily"]
    refresh_marts(warehouse)
    assert _rows(warehouse, "mart", "leads_daily") == rows != Counter()


def test_a_parameter_that_changes_reaches_every_client(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    _sync(lively, warehouse, tmp_path, FIRST)
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set timezone = 'Asia/Vladivostok'")
    before = _rows(warehouse, "mart", "lots")
    refresh_marts(warehouse)
    assert _rows(warehouse, "mart", "lots") == _computed(warehouse, "lots") != before


def test_readers_see_the_old_rows_until_the_refresh_is_committed(
    lively: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Readers are not blocked by a refresh that has done everything except its commit."""
    _sync(lively, warehouse, tmp_path, FIRST)
    with warehouse.connect() as refreshing, warehouse.connect(autocommit=True) as reader:
        reader.execute("set lock_timeout = '1s'")
        refreshing.execute("delete from core.operations where client_id % 2 = 0")
        for name in STORED:
            _bring_up(refreshing, name)
        for name in STORED:
            place = Identifier("mart", name)
            assert reader.execute(SQL("select count(*) from {}").format(place)).fetchone()
        refreshing.rollback()


def _bring_up(session: psycopg.Connection, name: str) -> None:
    place = Identifier("mart", name)
    if name in KEPT:
        session.execute(SQL("delete from {}").format(place))
    else:
        session.execute(SQL("refresh materialized view concurrently {}").format(place))


def _rows(warehouse: Warehouse, schema: str, name: str) -> Counter[tuple[Any, ...]]:
    with warehouse.connect() as session:
        statement = SQL("select stored::text from {} as stored").format(Identifier(schema, name))
        return Counter(session.execute(statement).fetchall())


def _computed(warehouse: Warehouse, name: str) -> Counter[tuple[Any, ...]]:
    with warehouse.connect() as session:
        session.execute(
            "insert into refresh.scope select client_id from core.operations"
            " union select client_id from core.registrations"
        )
        session.execute(
            "insert into refresh.days select distinct operation_date from core.operations"
        )
        statement = SQL("select stored::text from {} as stored").format(Identifier("refresh", name))
        found = Counter(session.execute(statement).fetchall())
        session.rollback()
    return found


def _places(warehouse: Warehouse, name: str) -> set[tuple[date, str]]:
    """The days and ctids of a mart's rows; the ctid changes when a row is rewritten."""
    with warehouse.connect() as session:
        statement = SQL("select day, ctid::text from {}").format(Identifier("mart", name))
        return set(session.execute(statement).fetchall())


def _versions(warehouse: Warehouse, name: str) -> dict[str, str]:
    """The rows of a mart with their ctids; the ctid changes when a row is rewritten."""
    with warehouse.connect() as session:
        rows = session.execute(
            SQL("select stored::text, ctid::text from {} as stored").format(
                Identifier("mart", name)
            )
        )
        return dict(rows.fetchall())


def test_a_mart_that_cannot_be_computed_is_named_with_what_to_correct(
    tmp_path: Path, lively: RunningSimulator, warehouse: Warehouse
) -> None:
    _sync(lively, warehouse, tmp_path, FIRST)
    owed = "select count(*), sum(active_balance) from mart.program_daily"
    with warehouse.connect(autocommit=True) as session:
        before = session.execute(owed).fetchone()
        session.execute("update mart.parameters set point_value = 999999999999999")
        with pytest.raises(
            MartRefusedError, match=r"^mart\.\w+ cannot be computed \(numeric value out of range"
        ) as refused:
            refresh_marts(warehouse)
        assert "mart.parameters" in str(refused.value)
        assert session.execute(owed).fetchone() == before
