"""What people build on: dimensions, views on live rows, and when a mart was refreshed."""

from datetime import UTC, date, datetime

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.partitions import ensure_partitions
from tests.databases import fetch_rows
from tests.marts.comparing import read_mart
from tests.marts.worlds import Synced


def test_the_calendar_has_the_working_days_of_each_year_that_is_decreed(
    warehouse: Warehouse,
) -> None:
    """As many as the production calendars of these years have."""
    assert fetch_rows(
        warehouse,
        "select year::int, count(*) from mart.dim_calendar"
        " where is_decreed and is_working_day group by 1 order by 1",
    ) == [(2021, 247), (2022, 247), (2023, 247), (2024, 248), (2025, 247), (2026, 247)]


@pytest.mark.parametrize(
    ("day", "is_working"),
    [
        ("2024-04-27", True),  # a Saturday that is worked for a Monday
        ("2024-04-29", False),
        ("2025-02-24", True),  # the holiday fell on a Sunday, and a decree moved it to May
        ("2025-05-08", False),
        ("2026-03-09", False),  # by the rule: 8 March is a Sunday
        ("2026-03-10", True),
        ("2033-05-02", False),  # far ahead, without a decree: 1 May is a Sunday
    ],
)
def test_a_day_off_is_moved_by_decree_or_by_rule(
    warehouse: Warehouse, day: str, is_working: bool
) -> None:
    found = fetch_rows(
        warehouse, f"select is_working_day from mart.dim_calendar where day = date '{day}'"
    )
    assert found in ([(is_working,)], []) if day > "2030" else found == [(is_working,)]


def test_a_store_has_the_partner_of_its_newest_sale_that_names_one(warehouse: Warehouse) -> None:
    """Of two partners with equal sales the first by name, however the rows lie in the table."""
    sales = [
        ("2026-03-01", "older", 9), ("2026-03-02", "b", 2), ("2026-03-02", "a", 2),
        ("2026-03-03", None, 5), ("2026-03-03", "", 5),
    ]  # fmt: skip
    with warehouse.connect(autocommit=True) as session:
        for store, rows in ((7, sales), (8, sales[::-1]), (9, sales[3:])):
            for day, partner, purchases in rows:
                session.execute(
                    "insert into mart.sales_daily (day, partner_name, pos_id, purchases)"
                    " values (%s, %s, %s, %s)",
                    (day, partner, store, purchases),
                )
    assert fetch_rows(
        warehouse, "select pos_id, partner_name, last_sale_date from mart.dim_stores order by 1"
    ) == [(7, "a", date(2026, 3, 3)), (8, "a", date(2026, 3, 3)), (9, None, date(2026, 3, 3))]


def test_stores_show_no_sale_after_the_last_day_known(warehouse: Warehouse) -> None:
    """A reading brings a part of the day after it."""
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into sync.runs (feed, window_from, window_to, status, started_at, finished_at)"
            " values ('operations', '2026-03-01', '2026-03-02', 'published', now(), now())"
        )
        session.execute(
            "insert into mart.sales_daily (day, partner_name, pos_id, purchases)"
            " values ('2026-03-01', 'old', 7, 1), ('2026-03-03', 'new', 7, 1),"
            " ('2026-03-03', 'new', 8, 1)"
        )
    assert fetch_rows(
        warehouse, "select pos_id, partner_name, last_sale_date from mart.dim_stores order by 1"
    ) == [(7, "old", date(2026, 3, 1))]


def test_a_day_that_was_corrected_by_hand_wins_and_survives_upgrades(warehouse: Warehouse) -> None:
    """Over a decree, a weekend and a working day; the rest of the year stays."""
    days = "'2026-01-09', '2026-01-17', '2026-01-20'"
    found = f"select is_working_day from mart.dim_calendar where day in ({days}) order by day"
    assert fetch_rows(warehouse, found) == [(False,), (False,), (True,)]
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into mart.calendar_overrides (calendar_date, is_working_day, comment) values"
            " ('2026-01-09', true, 'we work'), ('2026-01-17', true, 'stocktaking'),"
            " ('2026-01-20', false, 'our birthday')"
        )
    for _ in range(2):
        assert fetch_rows(warehouse, found) == [(True,), (True,), (False,)]
        migrate(warehouse)
        refresh_marts(warehouse, everything=True)
    assert fetch_rows(
        warehouse,
        "select count(*) from mart.dim_calendar where year = 2026 and is_working_day",
    ) == [(248,)]
    with warehouse.connect(autocommit=True) as session:
        for role, privilege, is_allowed in (
            ("lcm_loader", "insert, update, delete", True),
            ("lcm_bi", "select", True),
            ("lcm_analyst", "select", True),
            ("lcm_bi", "insert", False),
        ):
            row = session.execute(
                "select has_table_privilege(%s, 'mart.calendar_overrides', %s)", (role, privilege)
            ).fetchone()
            assert row == (is_allowed,), (role, privilege)


def test_every_key_of_a_mart_is_in_its_dimension(synced: Synced) -> None:
    stores = {row["pos_id"]: row for row in read_mart(synced.warehouse, "dim_stores")}
    sources = {row["bonus_source"] for row in read_mart(synced.warehouse, "dim_bonus_sources")}
    partners = {row["partner_name"] for row in read_mart(synced.warehouse, "dim_partners")}
    sales = read_mart(synced.warehouse, "store_daily")
    assert {row["pos_id"] for row in sales} - {None} <= stores.keys()
    assert {row["partner_name"] for row in sales} == partners
    assert all(row["store_name"] == stores[row["pos_id"]]["store_name"]
               for row in sales if row["pos_id"] is not None)  # fmt: skip
    mix = read_mart(synced.warehouse, "earn_mix")
    assert {row["bonus_source"] for row in mix} - {None} <= sources
    kinds = {
        row["component_type"]: row["kind"]
        for row in read_mart(synced.warehouse, "dim_component_types")
    }
    assert kinds == {1: "bonus", 2: "cheque", 3: "order"}
    units = {
        row["currency_code"]: row["value_in_roubles"]
        for row in read_mart(synced.warehouse, "dim_currency")
    }
    assert units == {"RUB": 1, "PTS": 1}


def test_live_views_hold_the_rules_that_the_marts_follow(synced: Synced) -> None:
    golden = synced.golden
    last = f"date '{synced.last}'"
    once = {row["cheque"] for row in golden.cheques.to_dict("records")}
    found = fetch_rows(
        synced.warehouse, f"select cheque_id from core_live.cheques where operation_date <= {last}"
    )
    assert sorted(cheque for (cheque,) in found) == sorted(once)
    columns = "cheque_id, client_id, is_refund, net_amount, coupon_number <> '' is true"
    assert sorted(
        fetch_rows(synced.warehouse, f"select {columns}, operation_date from core_live.cheques")
    ) == sorted(
        fetch_rows(
            synced.warehouse,
            "select cheque_id, client_id, is_refund, net_amount, has_coupon, day from mart.cheques",
        )
    )
    columns = "client_id, registration_date, pos_id"
    assert sorted(
        fetch_rows(
            synced.warehouse,
            f"select {columns} from core_live.clients where registration_date is not null",
        ),
        key=str,
    ) == sorted(fetch_rows(synced.warehouse, f"select {columns} from mart.members"), key=str)


def test_a_live_client_has_the_day_and_the_store_of_its_first_live_registration(
    warehouse: Warehouse,
) -> None:
    """The first card of client 1 is another client's now; client 2 has no card left."""
    with warehouse.connect() as session:
        ensure_partitions(session, "core", "registrations", [date(2026, 3, 1)])
        session.execute(
            "insert into core.clients (client_id, registered_at, registration_date, pos_id,"
            " sync_run_id, first_seen_at, synced_at) select client, timestamptz '2026-03-01 12:00',"
            " date '2026-03-01', 7, 1, now(), now() from generate_series(1, 2) as client"
        )
        session.execute(
            "insert into core.registrations (registration_date, client_id, card_number,"
            " registered_at, pos_id, sync_run_id, first_seen_at, synced_at, deleted_at)"
            " select day, client, card, day + interval '12 hours', pos, 1, now(), now(),"
            " case when is_gone then now() end"
            " from (values (date '2026-03-01', 1, 11, 7, true), ('2026-03-03', 1, 14, 5, false),"
            " ('2026-03-02', 1, 13, 8, false), ('2026-03-01', 2, 12, 7, true))"
            " as rows (day, client, card, pos, is_gone)"
        )
        assert session.execute(
            "select client_id, registration_date, pos_id, cards from core_live.clients order by 1"
        ).fetchall() == [(1, date(2026, 3, 2), 8, 2), (2, None, 7, None)]
        session.rollback()


def test_a_row_that_vanished_is_in_no_live_view_and_a_moved_client_has_its_new_one(
    warehouse: Warehouse,
) -> None:
    with warehouse.connect() as session:
        ensure_partitions(session, "core", "operations", [date(2026, 3, 1)])
        session.execute(
            "insert into core.clients (client_id, sync_run_id, first_seen_at, synced_at)"
            " values (1, 1, now(), now()), (2, 1, now(), now())"
        )
        session.execute(
            "insert into core.operations (operation_date, client_id, component_type, operation_id,"
            " processed_at, cheque_id, amount, is_refund, sync_run_id, first_seen_at, synced_at,"
            " deleted_at)"
            " select date '2026-03-01', client, 2, 7, now(), 7, 100, false, 1, now(), now(),"
            " case when client = 1 then now() end from generate_series(1, 2) as client"
        )
        assert session.execute("select client_id from core_live.operations").fetchall() == [(2,)]
        assert session.execute(
            "select client_id, current_client_id from core_live.clients order by 1"
        ).fetchall() == [(1, 2), (2, 2)]
        # Live under both, as long as the old client was not read again: one cheque all the same.
        session.execute("update core.operations set deleted_at = null")
        assert session.execute("select count(*), sum(net_amount) from core_live.cheques"
                               ).fetchall() == [(1, 100)]  # fmt: skip
        session.rollback()


def test_everybody_who_reads_a_mart_can_read_when_it_was_refreshed(by_hand: Synced) -> None:
    refreshed = {
        row["mart_name"]: row["refreshed_at"] for row in read_mart(by_hand.warehouse, "refreshes")
    }
    assert {"store_daily", "client_totals", "data_completeness"} <= refreshed.keys()
    assert max(refreshed.values()) <= datetime.now(UTC)


def test_money_has_two_digits_and_counts_are_whole_numbers(warehouse: Warehouse) -> None:
    loose = fetch_rows(
        warehouse,
        "select c.relname || '.' || a.attname from pg_attribute a"
        " join pg_class c on c.oid = a.attrelid"
        " where c.relnamespace = 'mart'::regnamespace and a.attnum > 0 and not a.attisdropped"
        " and c.relkind in ('r', 'v', 'm')"
        " and format_type(a.atttypid, a.atttypmod) = 'numeric'"
        " and a.attname !~ '(share|rate|days|hours|frequency|retention|burden|price_of_point)'"
        " order by 1",
    )
    assert [name for (name,) in loose] == []
