"""Past days keep their numbers: days pass and are synced, then earlier days are queried."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg.rows import dict_row

from lcm_pipeline.feeds import OPERATIONS, REGISTRATIONS
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.retirement import retire
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.marts.comparing import read_mart
from tests.marts.stories import Story
from tests.marts.worlds import Synced

FIRST, SECOND, THIRD = date(2026, 3, 5), date(2026, 3, 8), date(2026, 3, 9)


@pytest.mark.slow
def test_what_was_owed_on_a_past_day_as_known_then_and_as_known_now(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    spent = story.author.lot(client, 1, "2026-03-02T10:00:00", "100.00", ends="2026-06-01T00:00:00")
    waiting = story.author.lot(
        client, 2, "2026-03-04T10:00:00", "30.00", Active=False,
        starts="2026-03-08T00:00:00", ends="2026-03-09T12:00:00",
    )  # fmt: skip
    gone = story.author.lot(client, 3, "2026-03-05T23:59:59.9999999", "5.00")
    # After midnight: a row of a day that has not ended counts for no day yet.
    story.author.lot(client, 4, "2026-03-06T01:00:00", "1000.00", ends="2026-06-01T00:00:00")
    story.sync_day(FIRST)
    assert _balances(story.warehouse) == {
        date(2026, 3, 2): (100, 0),
        date(2026, 3, 3): (100, 0),
        date(2026, 3, 4): (100, 30),
        FIRST: (105, 30),
    }
    assert _owed(story.warehouse)[FIRST] == (135, 135, "read")
    assert _owed(story.warehouse)[date(2026, 3, 4)] == (130, None, "rolled back")

    spent.row["Remain"] = Decimal("40.00")
    waiting.row["Active"] = True
    client.operations.remove(gone)
    story.sync_day(SECOND)
    # This reading found 60 points gone without a row: earlier days stay. A row of the fifth has
    # vanished: that day is restated, and what was known then is kept.
    assert _owed(story.warehouse) == {
        date(2026, 3, 2): (100, None, "rolled back"),
        date(2026, 3, 3): (100, None, "rolled back"),
        date(2026, 3, 4): (130, None, "rolled back"),
        FIRST: (130, 135, "read"),
        date(2026, 3, 6): (1130, None, "rolled back"),
        date(2026, 3, 7): (1130, None, "rolled back"),
        SECOND: (1070, 1070, "read"),
    }
    assert _balances(story.warehouse)[date(2026, 3, 7)] == (1100, 30)
    assert _balances(story.warehouse)[SECOND] == (1070, 0)

    before = _owed(story.warehouse)
    waiting.row["Remain"] = Decimal("0.00")
    story.sync_day(THIRD)
    assert _owed(story.warehouse) == {**before, THIRD: (1040, 1040, "read")}


@pytest.mark.slow
def test_a_lot_that_ends_between_midnight_and_the_reading_is_owed_on_the_day_before(
    story: Story,
) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    lot = story.author.lot(client, 1, "2026-03-02T10:00:00", "100.00", ends="2026-03-09T03:00:00")
    story.sync_day(FIRST)
    lot.row.update(Remain=Decimal("0.00"), Active=False)
    story.sync_day(SECOND)
    assert _owed(story.warehouse)[SECOND] == (100, 100, "read")
    story.sync_day(THIRD)
    assert THIRD not in _owed(story.warehouse)
    assert _owed(story.warehouse)[SECOND] == (100, 100, "read")
    (month,) = read_mart(story.warehouse, "points_bridge_monthly")
    assert (month["expired"], month["residual"], month["closing"]) == (100, 0, 0)


@pytest.mark.slow
def test_points_given_before_the_first_registration_are_in_the_programme_by_day(
    story: Story,
) -> None:
    """As where the roster is read from a later day on, or a history has moved to a newer client."""
    client = story.author.client(7, "2026-03-04T01:00:00", [{"Card": 1}])
    story.author.lot(client, 1, "2026-03-02T10:00:00", "100.00")
    story.sync_day(FIRST)
    days = read_mart(story.warehouse, "program_daily")
    owed = {row["day"]: (row["active_balance"], row["pending_balance"]) for row in days}
    assert owed == _balances(story.warehouse)
    (month,) = read_mart(story.warehouse, "points_bridge_monthly")
    assert sum(row["points_added"] for row in days) == month["added"] == 100


@pytest.mark.slow
def test_a_day_that_only_the_roster_tells_of_is_no_day_without_sales(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    story.author.cheque(client, 1, "2026-03-05T10:00:00", "100.00")
    story.sync_day(FIRST)
    later = FIRST + timedelta(days=1)
    story.author.client(8, "2026-03-06T01:00:00", [{"Card": 2}])
    story.sync_one(REGISTRATIONS, later)
    days = {row["day"]: row for row in read_mart(story.warehouse, "program_daily")}
    assert (days[FIRST]["purchases"], days[FIRST]["points_added"]) == (1, 0)
    assert (days[later]["new_members"], days[later]["members"]) == (1, 2)
    actual = {
        "purchases",
        "net_sales",
        "buyers",
        "points_added",
        "points_expired",
        "active_balance",
    }
    assert {days[later][column] for column in actual} == {None}


@pytest.mark.slow
def test_a_day_that_only_operations_tell_of_is_no_day_without_new_members(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    story.sync_day(FIRST)
    later = FIRST + timedelta(days=1)
    story.author.cheque(client, 1, "2026-03-06T10:00:00", "100.00")
    story.sync_one(OPERATIONS, later)
    # As if a fuse had stopped the run of the roster.
    with story.warehouse.connect(autocommit=True) as session:
        session.execute(
            "update sync.runs set status = 'stopped'"
            " where feed = 'registrations' and window_to = %s",
            (later,),
        )
    refresh_marts(story.warehouse)
    days = {row["day"]: row for row in read_mart(story.warehouse, "program_daily")}
    assert (days[FIRST]["new_members"], days[FIRST]["members"]) == (0, 1)
    assert (days[later]["new_members"], days[later]["members"]) == (None, None)
    assert (days[later]["purchases"], days[later]["points_added"]) == (1, 0)


@pytest.mark.slow
def test_points_that_no_row_explains_stay_on_the_day_of_the_reading_that_found_it(
    story: Story,
) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    lot = story.author.lot(client, 1, "2026-03-02T10:00:00", "100.00")
    ending = story.author.lot(client, 2, "2026-03-02T10:00:00", "9.00", ends="2026-03-09T12:00:00")
    story.sync_day(FIRST)
    lot.row["Remain"] = Decimal("40.00")
    story.sync_day(SECOND)
    story.author.cheque(client, 501, "2026-03-09T10:00:00", "80.00", Redeemed=Decimal("10.00"))
    lot.row["Remain"] = Decimal("30.00")
    ending.row["Remain"] = Decimal("0.00")
    story.sync_day(THIRD)
    moved = read_mart(story.warehouse, "points_movements")
    assert sorted(
        (row["movement_date"], row["kind"], row["points"]) for row in moved if row["points"] < 0
    ) == [
        (SECOND, "unexplained", -60),
        (THIRD, "expired", -9),
        (THIRD, "redeemed", -10),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_lot_that_moves_by_a_merge_keeps_its_past(story: Story) -> None:
    """Readings found the lot at the old client until the day on which it expired."""
    old = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    new = story.author.client(8, "2026-03-01T01:00:00", [{"Card": 2}])
    lot = story.author.lot(old, 1, "2026-03-02T10:00:00", "361.70", ends="2026-03-08T00:00:00")
    story.author.lot(new, 2, "2026-03-02T10:00:00", "50.00", Remain=Decimal("20.00"))
    story.author.cheque(new, 501, "2026-03-03T10:00:00", "80.00", Redeemed=Decimal("30.00"))
    story.sync_day(FIRST)
    lot.row["Remain"] = Decimal("0.00")
    story.sync_day(SECOND)
    before = _owed(story.warehouse)
    story.simulator.world.merge(7, 8)
    story.sync_day(THIRD)
    after = _owed(story.warehouse)
    assert {day: after[day][:2] for day in before} == {day: before[day][:2] for day in before}
    moved = read_mart(story.warehouse, "points_movements")
    assert [
        (row["client_id"], row["movement_date"], row["points"])
        for row in moved
        if row["kind"] == "expired"
    ] == [(8, SECOND, Decimal("-361.70"))]


@pytest.mark.slow
def test_the_bridge_shows_what_the_history_shows(story: Story) -> None:
    """A lot without redemptions expires without a row; a cheque vanishes with its lot."""
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    expiring = story.author.lot(client, 1, "2026-03-02T10:00:00", "100.00",
                                ends="2026-03-07T00:00:00", Remain=Decimal("60.00"))  # fmt: skip
    story.author.cheque(client, 501, "2026-03-03T10:00:00", "80.00", Redeemed=Decimal("40.00"))
    vanishing = [
        story.author.cheque(client, 502, "2026-03-04T10:00:00", "90.00", Redeemed=Decimal("10.00")),
        story.author.lot(client, 2, "2026-03-04T10:00:00", "9.00", ChequeId=502),
    ]
    paying = story.author.lot(client, 3, "2026-03-03T09:00:00", "10.00", Remain=Decimal("0.00"))
    story.sync_day(FIRST)
    for entry in vanishing:
        client.operations.remove(entry)
    expiring.row["Remain"] = Decimal("0.00")
    story.sync_day(SECOND)
    (month,) = read_mart(story.warehouse, "points_bridge_monthly")
    assert paying.row["Remain"] == 0
    names = ("added", "redeemed", "expired", "corrections", "residual", "closing")
    assert [month[name] for name in names] == [110, 40, 60, -10, 0, 0]


def test_lots_that_lose_more_than_the_rows_explain_show_in_the_residual(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    story.author.lot(client, 1, "2026-03-02T10:00:00", "100.00", Remain=Decimal("70.00"))
    story.sync_day(FIRST)
    (month,) = read_mart(story.warehouse, "points_bridge_monthly")
    assert (month["residual"], month["closing"]) == (-30, 70)


@pytest.mark.slow
def test_lead_sla_of_a_past_day_is_what_was_known_then(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    quick = story.author.lead(client, 41, "2026-03-05T20:00:00")
    slow = story.author.lead(client, 42, "2026-03-05T21:00:00")
    story.author.lead(client, 43, "2026-03-06T02:00:00")
    story.sync_day(FIRST)
    assert _sla(story.warehouse, FIRST) == {41: ("unknown", True), 42: ("unknown", True)}

    quick.row["LeadStatusName"] = "В работе"
    story.sync_day(date(2026, 3, 6))
    quick.row["LeadStatusName"] = "Закрыто"
    story.sync_day(date(2026, 3, 7))
    slow.row["LeadStatusName"] = "Решено"
    story.sync_day(SECOND)

    assert _sla(story.warehouse, FIRST) == {41: ("unknown", True), 42: ("unknown", True)}
    sixth = _sla(story.warehouse, date(2026, 3, 6))
    assert sixth[41] == ("unknown", True)
    assert sixth[42] == ("missed", True)
    seventh = _sla(story.warehouse, date(2026, 3, 7))
    assert (seventh[41][1], seventh[42][1]) == (False, True)
    now = {row["lead_id"]: row for row in read_mart(story.warehouse, "leads_sla")}
    assert now[42]["first_change_sla"] == "missed"
    assert now[42]["first_change_after"] == now[42]["closed_after"] == _utc(2026, 3, 8, 3)
    assert now[42]["first_change_by"] == now[42]["closed_by"] == _utc(2026, 3, 9, 3)
    assert now[41]["first_change_after"] == _utc(2026, 3, 6, 3)
    assert now[41]["first_change_by"] == _utc(2026, 3, 7, 3)
    assert now[41]["closing_sla"] == "hit"
    assert now[43]["first_change_sla"] == "missed"


@pytest.mark.slow
def test_the_newest_leads_are_all_that_are_known_now(story: Story) -> None:
    """A repair, a backfill and another run of the day bring leads after the day's first reading."""
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    lead = story.author.lead(client, 41, "2026-03-04T20:00:00")
    story.sync_day(FIRST)
    lead.row["LeadStatusName"] = "Закрыто"
    story.author.lead(client, 42, "2026-03-04T21:00:00")
    story.read_again(7, _utc(2026, 3, 6, 9))
    now = {row["lead_id"]: row for row in read_mart(story.warehouse, "leads_sla")}
    assert {number: row["is_open"] for number, row in now.items()} == {41: False, 42: True}
    assert now[41]["closed_after"] == _utc(2026, 3, 6, 3)
    assert now[41]["closed_by"] == _utc(2026, 3, 6, 9)
    assert _sla(story.warehouse, FIRST) == {41: ("missed", True)}


@pytest.mark.slow
def test_only_a_reading_of_all_clients_shows_that_a_lead_still_waits(story: Story) -> None:
    """A repair of another client, or a backfill to a day before the client came, read no lead."""
    story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    client = story.author.client(8, "2026-03-05T01:00:00", [{"Card": 2}])
    taken_up = story.author.lead(client, 41, "2026-03-05T20:00:00")
    story.author.lead(client, 42, "2026-03-05T20:00:00")
    story.sync_day(FIRST)
    taken_up.row["LeadStatusName"] = "В работе"
    story.read_again(7, _utc(2026, 3, 7, 3))
    story.sync_earlier(date(2026, 3, 4), _utc(2026, 3, 7, 9))
    assert _sla(story.warehouse, FIRST)[42] == ("unknown", True)
    story.sync_day(SECOND)
    now = {row["lead_id"]: row for row in read_mart(story.warehouse, "leads_sla")}
    assert now[41]["first_change_after"] == _utc(2026, 3, 6, 3)
    assert now[41]["first_change_by"] == _utc(2026, 3, 9, 3)
    assert now[41]["first_change_sla"] == "unknown"
    assert now[42]["first_change_sla"] == "missed"
    # The same day again, of all clients: that is a reading of all.
    story.sync_earlier(SECOND, _utc(2026, 3, 9, 9))
    taken_up.row["LeadStatusName"] = "Закрыто"
    story.sync_day(THIRD)
    (closed,) = [row for row in read_mart(story.warehouse, "leads_sla") if row["lead_id"] == 41]
    assert closed["closed_after"] == _utc(2026, 3, 9, 9)
    assert closed["closed_by"] == _utc(2026, 3, 10, 3)


@pytest.mark.slow
def test_another_run_of_the_day_reads_all_clients_but_those_retired_in_between(
    story: Story,
) -> None:
    story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    client = story.author.client(8, "2026-03-01T01:00:00", [{"Card": 2}])
    lead = story.author.lead(client, 41, "2026-03-05T20:00:00")
    story.sync_day(SECOND)
    retire(story.warehouse, [7])
    with story.warehouse.connect(autocommit=True) as session:
        session.execute("update sync.retired_clients set retired_at = '2026-03-09 06:00+00'")
    story.sync_earlier(SECOND, _utc(2026, 3, 9, 9))
    lead.row["LeadStatusName"] = "Закрыто"
    story.sync_day(THIRD)
    (closed,) = read_mart(story.warehouse, "leads_sla")
    assert closed["closed_after"] == _utc(2026, 3, 9, 9)
    assert closed["closed_by"] == _utc(2026, 3, 10, 3)


@pytest.mark.slow
def test_leads_of_several_clients_with_one_number_are_judged_apart(story: Story) -> None:
    leads = [
        story.author.lead(
            story.author.client(client_id, "2026-03-01T01:00:00", [{"Card": client_id}]),
            41,
            "2026-03-05T20:00:00",
        )
        for client_id in (7, 8)
    ]
    story.sync_day(FIRST)
    leads[0].row["LeadStatusName"] = "Решено"
    story.sync_day(date(2026, 3, 6))
    story.sync_day(SECOND)
    now = {row["client_id"]: row for row in read_mart(story.warehouse, "leads_sla")}
    assert (now[7]["closing_sla"], now[8]["closing_sla"]) == ("hit", "missed")


@pytest.mark.slow
def test_a_lead_that_moves_by_a_merge_keeps_its_past(story: Story) -> None:
    old = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    new = story.author.client(8, "2026-03-01T01:00:00", [{"Card": 2}])
    answered = story.author.lead(old, 41, "2026-03-05T20:00:00")
    waiting = story.author.lead(old, 42, "2026-03-05T20:00:00")
    story.sync_day(FIRST)
    answered.row["LeadStatusName"] = "Решено"
    story.sync_day(date(2026, 3, 6))
    before = {row["lead_id"]: row for row in read_mart(story.warehouse, "leads_sla")}
    assert before[41]["closing_sla"] == "hit"
    story.simulator.world.merge(7, 8)
    for lead in (answered, waiting):
        new.shelves["leads"].add(lead)
    story.sync_day(SECOND)
    after = {row["lead_id"]: row for row in read_mart(story.warehouse, "leads_sla")}
    assert [after[number]["client_id"] for number in (41, 42)] == [8, 8]
    moments = (
        "first_change_after", "first_change_by", "first_change_sla", "closed_after", "closed_by",
        "closing_sla",
    )  # fmt: skip
    assert [after[41][name] for name in moments] == [before[41][name] for name in moments]
    assert (after[42]["first_change_sla"], after[42]["is_open"]) == ("missed", True)


def test_restatements_have_the_reason_of_a_change(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    lot = story.author.lot(client, 1, "2026-03-02T10:00:00", "100.00")
    vanishing = story.author.cheque(client, 501, "2026-03-03T10:00:00", "80.00")
    story.sync_day(FIRST)
    assert read_mart(story.warehouse, "restatements") == []
    lot.row["Remain"] = Decimal("99.00")
    client.operations.remove(vanishing)
    story.author.cheque(client, 502, "2026-03-03T10:00:00", "-70.00", Refund=True)
    story.sync_day(SECOND)
    actual = {
        (row["day"], row["table_name"], row["reason"]): (row["rows"], row["amount_change"])
        for row in read_mart(story.warehouse, "restatements")
    }
    assert actual == {
        (date(2026, 3, 2), "operations", "mutated"): (1, 0),
        (date(2026, 3, 3), "operations", "vanished"): (1, -80),
        (date(2026, 3, 3), "operations", "late"): (1, -70),
    }
    days = {
        row["day"]: row["restated_rows"]
        for row in read_mart(story.warehouse, "data_completeness")
        if row["table_name"] == "operations"
    }
    assert (days[date(2026, 3, 2)], days[date(2026, 3, 3)], days[SECOND]) == (1, 2, 0)


@pytest.mark.slow
def test_rows_that_changed_back_are_not_a_restatement(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    cheque = story.author.cheque(client, 501, "2026-03-02T10:00:00", "80.00")
    lead = story.author.lead(client, 41, "2026-03-02T11:00:00")
    story.sync_day(FIRST)
    cheque.row["Amount"], lead.row["LeadStatusName"] = Decimal("90.00"), "В работе"
    story.sync_day(SECOND)
    actual = {
        (row["table_name"], row["reason"]): (row["rows"], row["amount_change"])
        for row in read_mart(story.warehouse, "restatements")
    }
    assert actual == {("operations", "mutated"): (1, 10), ("leads", "mutated"): (1, 0)}
    cheque.row["Amount"], lead.row["LeadStatusName"] = Decimal("80.00"), "Новое"
    story.sync_day(THIRD)
    assert read_mart(story.warehouse, "restatements") == []


@pytest.mark.slow
def test_a_late_cheque_and_its_order_count_once(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    story.author.cheque(client, 500, "2026-03-02T10:00:00", "5.00")
    story.sync_day(FIRST)
    story.author.cheque(client, 501, "2026-03-02T12:00:00", "80.00", OrderId=77)
    order = story.author.order(client, 77, "2026-03-02T11:30:00", "80.00")
    order.row["ChequeId"] = 501
    # The cheque of this order was not late.
    other = story.author.order(client, 78, "2026-03-02T09:30:00", "5.00")
    other.row["ChequeId"] = 500
    story.sync_day(SECOND)
    (row,) = read_mart(story.warehouse, "restatements")
    assert (row["reason"], row["rows"], row["amount_change"]) == ("late", 3, 80)


def test_completeness_shows_what_is_loaded_and_what_is_pending(by_hand: Synced) -> None:
    rows = [
        row
        for row in read_mart(by_hand.warehouse, "data_completeness")
        if row["day"] == by_hand.last
    ]
    assert {row["table_name"]: row["loaded_rows"] for row in rows} == {
        "registrations": 1, "operations": 1, "leads": 1, "favourite_offers": 0,
    }  # fmt: skip
    assert all(row["complete_through"] == by_hand.last for row in rows)
    assert all(row["complete_share"] == 1 and row["pending_clients"] == 0 for row in rows)
    assert all(row["source_total"] == row["loaded_total"] for row in rows)
    # Five members; nobody registered on the first day that was read, so nobody is missing.
    assert all((row["clients"], row["roster_from"]) == (5, None) for row in rows)


def test_views_are_planned_for_about_as_many_rows_as_the_tables_below_have(
    by_chance: Synced,
) -> None:
    """Else sessions with JIT compilation, the default, compile them for seconds."""
    for name in ("lot_versions", "points_liability_as_known_then", "points_owed"):
        with by_chance.warehouse.connect() as session:
            row = session.execute(f"explain (format json) select * from mart.{name}".encode())
            plan = row.fetchall()[0][0][0]["Plan"]
        assert plan["Total Cost"] < 100_000, (name, plan["Total Cost"], plan["Plan Rows"])


def test_a_roster_that_begins_in_the_middle_shows_its_first_day(by_chance: Synced) -> None:
    rows = read_mart(by_chance.warehouse, "data_completeness")
    assert {row["roster_from"] for row in rows} == {by_chance.first}


@pytest.mark.slow
def test_a_client_that_was_not_proven_is_pending_from_its_last_proof_on(story: Story) -> None:
    for number in (7, 8):
        client = story.author.client(number, f"2026-03-0{number - 5}T01:00:00", [{"Card": number}])
        story.author.lot(client, number, "2026-03-04T10:00:00", "100.00")
    story.sync_day(FIRST)
    story.sync_day(SECOND)
    with story.warehouse.connect(autocommit=True) as session:
        session.execute(
            "update sync.client_state set pending_since = now(), proven_date = %s"
            " where feed = 'operations' and client_id = 7",
            (FIRST,),
        )
    refresh_marts(story.warehouse)
    days = {
        row["day"]: (row["clients"], row["pending_clients"], row["complete_share"])
        for row in read_mart(story.warehouse, "data_completeness")
        if row["table_name"] == "operations"
    }
    assert days[date(2026, 3, 2)] == (1, 0, 1)
    assert days[FIRST] == (2, 0, 1)
    assert days[date(2026, 3, 6)] == days[SECOND] == (2, 1, Decimal("0.5"))


@pytest.mark.slow
def test_a_late_row_of_an_ended_month_restates_its_closing_with_the_reason(
    story: Story,
) -> None:
    march, last = date(2026, 3, 1), date(2026, 3, 31)
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    story.author.lot(client, 1, "2026-03-10T10:00:00", "100.00", starts="2026-04-20T00:00:00")
    story.sync_day(last)
    story.sync_day(date(2026, 4, 1))
    assert read_mart(story.warehouse, "restated_answers") == []
    story.author.lot(client, 2, "2026-03-20T10:00:00", "30.00")
    story.sync_day(date(2026, 4, 2))
    lines = read_mart(story.warehouse, "restated_answers")
    assert {
        row["measure"]: (row["month"], row["value_before"], row["value_after"], row["change"])
        for row in lines
    } == {
        "points_added": (march, 100, 130, 30),
        "points_closing": (march, 100, 130, 30),
        "value_issued": (march, 80, 104, 24),
        "value_closing": (march, 80, 104, 24),
        "value_outstanding": (march, 100, 130, 30),
    }
    assert {row["reason"] for row in lines} == {"late rows of 2026-03 (1 since it was read)"}

    # All marts agree on the number as known now and as known then.
    (bridge, _) = sorted(read_mart(story.warehouse, "points_bridge_monthly"), key=_month)
    (then, april) = sorted(read_mart(story.warehouse, "points_bridge_as_known_then"), key=_month)
    assert bridge["closing"] == 130
    assert (then["added"], then["closing"], then["residual"]) == (100, 100, 0)
    assert (then["closing_as_known_now"], then["method"]) == (130, "read")
    assert (april["opening"], april["closing"], april["is_whole_month"]) == (None, 130, False)
    assert _owed(story.warehouse)[last] == (130, 100, "read")
    days = {row["day"]: row for row in read_mart(story.warehouse, "program_daily")}
    days_then = {
        row["day"]: row for row in read_mart(story.warehouse, "program_daily_as_known_then")
    }
    assert (days[last]["active_balance"], days[last]["pending_balance"]) == (30, 100)
    assert (days_then[last]["active_balance"], days_then[last]["pending_balance"]) == (0, 100)
    assert (days[last]["balance_method"], days_then[last]["method"]) == ("read", "read")
    assert days_then[last]["points_added"] == 0
    before = days_then[date(2026, 3, 20)]
    assert (before["active_balance"], before["points_added"], before["method"]) == (
        None, None, "rolled back",
    )  # fmt: skip
    assert days[date(2026, 3, 20)]["balance_method"] == "rolled back"

    story.sync_day(date(2026, 4, 3))
    assert len(read_mart(story.warehouse, "restated_answers")) == len(lines)


@pytest.mark.slow
def test_a_month_whose_last_day_was_never_read_is_not_known_then(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    story.author.lot(client, 1, "2026-03-10T10:00:00", "100.00")
    story.sync_day(date(2026, 3, 30))
    story.sync_day(date(2026, 4, 1))
    (march, _) = sorted(read_mart(story.warehouse, "points_bridge_as_known_then"), key=_month)
    assert (march["closing"], march["added"], march["method"]) == (None, None, "rolled back")
    assert march["closing_as_known_now"] == 100


@pytest.mark.slow
def test_an_edit_of_a_parameter_is_the_reason_of_a_restated_month(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    story.author.lot(client, 1, "2026-03-10T10:00:00", "100.00")
    story.sync_day(date(2026, 4, 1))
    for edit, restated in (("valid_from = '2026-04-01', point_value = 3", False),
                           ("valid_from = '2026-03-15', point_value = 2", True)):  # fmt: skip
        with story.warehouse.connect(autocommit=True) as session:
            session.execute(f"update mart.parameters set {edit}".encode())
        refresh_marts(story.warehouse)
        lines = read_mart(story.warehouse, "restated_answers")
        assert bool(lines) is restated
    assert {row["measure"]: row["change"] for row in lines} == {
        "value_closing": 80, "value_outstanding": 100, "value_re_estimated": 80,
    }  # fmt: skip
    assert {row["reason"] for row in lines} == {"parameters edited"}


@pytest.mark.slow
def test_a_change_of_money_alone_is_not_laid_to_points_of_changed_rows(story: Story) -> None:
    """The price of a purchase changed, which moves deferred revenue and no points."""
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    cheque = story.author.cheque(client, 1, "2026-03-10T10:00:00", "500.00", Added=Decimal(100))
    story.author.lot(client, 11, "2026-03-10T10:00:00", "100.00", ChequeId=1)
    story.sync_day(date(2026, 4, 1))
    cheque.row["Amount"] = Decimal(800)
    story.sync_day(date(2026, 4, 2))
    lines = read_mart(story.warehouse, "restated_answers")
    assert {row["measure"] for row in lines} == {"value_deferred_issued", "value_deferred_closing"}
    assert {row["reason"] for row in lines} == {
        "lots or prices, while all totals of points stay:"
        " mutated rows of 2026-03 (1 since it was read)"
    }


def _month(row: dict[str, Any]) -> date:
    month: date = row["month"]
    return month


def _balances(warehouse: Warehouse) -> dict[date, tuple[Decimal, Decimal]]:
    rows: dict[date, tuple[Decimal, Decimal]] = {}
    for row in read_mart(warehouse, "points_liability_daily"):
        active, pending = rows.get(row["day"], (Decimal(0), Decimal(0)))
        rows[row["day"]] = (active + row["active_points"], pending + row["pending_points"])
    return rows


def _owed(warehouse: Warehouse) -> dict[date, tuple[Decimal, Decimal | None, str]]:
    return {
        row["day"]: (row["as_known_now"], row["as_known_then"], row["method"])
        for row in read_mart(warehouse, "points_owed")
    }


def _sla(warehouse: Warehouse, day: date) -> dict[int, tuple[Any, Any]]:
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("select * from mart.leads_sla_on(%s)", (day,)).fetchall()
    return {row["lead_id"]: (row["first_change_sla"], row["is_open"]) for row in rows}


def _utc(year: int, month: int, day: int, hour: int) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.mark.slow
def test_each_sum_of_money_of_a_closed_month_that_changes_is_recorded(story: Story) -> None:
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    for number, month in ((1, "03"), (2, "04")):
        story.author.cheque(client, number, f"2026-{month}-10T10:00:00", "500.00",
                            Added=Decimal(100))  # fmt: skip
        story.author.lot(client, 10 + number, f"2026-{month}-10T10:00:00", "100.00",
                         ChequeId=number, Remain=Decimal(number * 50 - 30))  # fmt: skip
    story.author.cheque(client, 3, "2026-04-20T10:00:00", "300.00", Redeemed=Decimal(80))
    story.author.cheque(client, 4, "2026-04-21T10:00:00", "250.00", Refund=True, ParentId=2,
                        Added=Decimal(-30))  # fmt: skip
    story.sync_day(date(2026, 5, 1))
    before = {row["month"]: row for row in read_mart(story.warehouse, "points_rollforward_monthly")}
    with story.warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set point_value = 2")
    refresh_marts(story.warehouse)
    after = {row["month"]: row for row in read_mart(story.warehouse, "points_rollforward_monthly")}
    changed = {
        (month, f"value_{name.removesuffix('_value')}", before[month][name], row[name])
        for month, row in after.items()
        for name in row
        if row["is_whole_month"] and name != "rounding" and row[name] != before[month][name]
    }
    assert {
        (row["month"], row["measure"], row["value_before"], row["value_after"])
        for row in read_mart(story.warehouse, "restated_answers")
    } == changed
    assert {measure for _, measure, _, _ in changed} >= {
        "value_opening", "value_clawed_back", "value_deferred_opening", "value_deferred_issued",
        "value_deferred_clawed_back", "value_revenue_recognised",
    }  # fmt: skip
