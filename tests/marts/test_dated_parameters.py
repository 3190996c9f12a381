"""Parameters are valid from a date on: an edit changes no earlier day."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import query
from tests.marts.author import Author
from tests.marts.comparing import read_mart
from tests.marts.golden import rounded
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.worlds import edit, empty_world, sync

FIRST, LAST, CHANGED = date(2026, 1, 10), date(2026, 3, 10), date(2026, 2, 15)
# The marts by day whose rows must not change before the edit.
BY_DAY = (
    "points_liability_daily", "discount_burden", "program_daily", "store_daily", "leads_sla",
    "leads_daily", "earn_mix", "refunds", "sales_daily", "enrolment_daily", "favourite_uptake",
    "points_owed",
)  # fmt: skip


@pytest.fixture
def filled(warehouse: Warehouse, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse with two months of 40 clients."""
    config = build_config(
        start=FIRST, now=datetime(2026, 3, 11), clients=40, seed=5, habits=("leads_daily=0.05",)
    )
    with RunningSimulator(config) as simulator:
        sync(simulator, warehouse, tmp_path, FIRST, LAST)
    yield warehouse


def _before(warehouse: Warehouse, name: str) -> list[str]:
    """The rows of the days before the change, as text."""
    with warehouse.connect() as session:
        rows = session.execute(
            SQL("select shown::text from {} as shown where day < %s order by 1").format(
                Identifier("mart", name)
            ),
            (CHANGED,),
        )
        return [str(text) for (text,) in rows.fetchall()]


def _liability(warehouse: Warehouse, day: date) -> list[dict[str, Any]]:
    rows = read_mart(warehouse, "points_liability_daily")
    return [row for row in rows if row["day"] == day]


def test_an_edit_with_a_date_changes_no_earlier_day(filled: Warehouse) -> None:
    before = {name: _before(filled, name) for name in BY_DAY}
    assert all(before.values())
    edit(
        filled,
        "update mart.parameters set point_value = 2.5, expected_breakage = 0.5, sla_hours = 1,"
        f" closing_sla_hours = 2, valid_from = '{CHANGED}'",
        f"insert into mart.source_breakage values (1, '{CHANGED}', 0.1)",
    )
    assert {name: _before(filled, name) for name in BY_DAY} == before
    own, others = 0, 0
    for row in _liability(filled, LAST):
        breakage = Decimal("0.1") if row["bonus_source"] == 1 else Decimal("0.5")
        own, others = own + (row["bonus_source"] == 1), others + (row["bonus_source"] != 1)
        assert row["outstanding_value"] == rounded(row["outstanding_points"] * Decimal("2.5"), 2)
        expected = row["outstanding_points"] * (1 - breakage) * Decimal("2.5")
        assert abs(row["expected_value"] - expected) <= Decimal("0.005")
    assert own and others
    assert_as_if_computed_anew(filled, "after an edit with a date")


@pytest.mark.slow
def test_an_edit_without_a_date_corrects_the_current_values(filled: Warehouse) -> None:
    edit(filled, f"update mart.parameters set point_value = 2, valid_from = '{CHANGED}'")
    before = _before(filled, "points_liability_daily")
    edit(filled, "update mart.parameters set point_value = 3")
    assert _before(filled, "points_liability_daily") == before
    assert {row["outstanding_value"] for row in _liability(filled, LAST)} == {
        row["outstanding_points"] * 3 for row in _liability(filled, LAST)
    }
    periods = read_mart(filled, "dated_parameters")
    assert [(row["first_day"], row["last_day"], row["point_value"]) for row in periods] == [
        (date(1, 1, 1), date(2026, 2, 14), 1),
        (CHANGED, date(9999, 12, 31), 3),
    ]


def test_an_edit_with_an_earlier_date_replaces_the_values_since_then(
    warehouse: Warehouse,
) -> None:
    for day, value in (("2026-02-01", 2), ("2026-03-01", 3), ("2026-02-15", 4)):
        with warehouse.connect(autocommit=True) as session:
            session.execute(
                "update mart.parameters set point_value = %s, valid_from = %s", (value, day)
            )
    periods = read_mart(warehouse, "dated_parameters")
    assert [(str(row["first_day"]), row["point_value"]) for row in periods] == [
        ("0001-01-01", 1),
        ("2026-02-01", 2),
        ("2026-02-15", 4),
    ]


@pytest.mark.slow
def test_an_edit_for_a_later_day_is_not_yet_what_the_numbers_rest_on(filled: Warehouse) -> None:
    edit(
        filled,
        "update mart.parameters set point_value = 0.5, sla_hours = 8, closing_sla_hours = 9,"
        f" expected_breakage = 0.3, valid_from = '{LAST + timedelta(days=1)}'",
    )
    shown = {
        row["parameter"]: (row["current_value"], row["is_default"])
        for row in read_mart(filled, "assumptions")
    }
    assert shown["point_value"] == ("1", True)
    assert shown["expected_breakage"] == ("0.2", True)
    assert (shown["sla_hours"], shown["closing_sla_hours"]) == (("24", True), ("72", True))
    edit(filled, f"update mart.parameters set valid_from = '{LAST}'")
    (value,) = [r for r in read_mart(filled, "assumptions") if r["parameter"] == "point_value"]
    assert (value["current_value"], value["is_default"]) == ("0.5", False)


@contextmanager
def _world_of_one_lot() -> Iterator[RunningSimulator]:
    """A programme until 21 January 2026 in which a client was given 100 points by source 4."""
    with empty_world(FIRST, datetime(2026, 1, 21)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-01-10T01:00:00", [{"Card": 1}])
        author.lot(client, 11, "2026-01-10T12:00:00", "100.00", BonusSource=4)
        yield simulator


def test_a_check_names_parameters_that_change_no_figure(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with _world_of_one_lot() as simulator:
        sync(simulator, warehouse, tmp_path, FIRST, date(2026, 1, 20))
    edit(
        warehouse,
        # As a version without this trigger stored it.
        "alter table mart.parameter_history disable trigger refuse_later_history",
        "insert into mart.parameter_history values ('2026-01-15', 3, 0, 1, 1)",
        "insert into mart.source_breakage values"
        " (4, '2026-01-15', 0.1), (99, '2026-01-16', 0.1), (98, '2026-02-01', 0.1)",
        "update mart.parameters set confirmed = array['point_value', 'sla_hour']",
    )
    with warehouse.connect() as session:
        checks = {name: rest for name, *rest in session.execute(query("mart_checks"))}
    assert checks["parameters_are_heeded"] == [
        3,
        "rows of parameters that change no figure: mart.parameter_history from 2026-01-15 on,"
        " mart.parameters.confirmed names sla_hour, which mart.assumptions does not list,"
        " mart.source_breakage of source 99, which no row has, from 2026-01-16 on",
    ]


def test_leads_are_judged_by_the_limit_of_the_day_of_their_creation(
    filled: Warehouse,
) -> None:
    before = {row["lead_id"]: row for row in read_mart(filled, "leads_sla")}
    edit(filled, f"update mart.parameters set sla_hours = 8760, valid_from = '{CHANGED}'")
    after = {row["lead_id"]: row for row in read_mart(filled, "leads_sla")}
    differing = {
        after[lead]["day"] for lead in after
        if after[lead]["first_change_sla"] != before[lead]["first_change_sla"]
    }  # fmt: skip
    assert differing and min(differing) >= CHANGED
    later = [row["first_change_sla"] for row in after.values() if row["day"] >= CHANGED]
    assert "missed" not in later


def test_values_for_a_day_to_come_hold_from_the_sync_of_that_day_on(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with _world_of_one_lot() as simulator:
        sync(simulator, warehouse, tmp_path, FIRST, date(2026, 1, 14))
        edit(
            warehouse,
            "update mart.parameters set point_value = 2, valid_from = '2026-01-17'",
            "insert into mart.source_breakage values (4, '2026-01-19', 0.5)",
        )
        sync(simulator, warehouse, tmp_path, date(2026, 1, 15), date(2026, 1, 20))
    values = {
        row["day"].day: row["expected_value"]
        for row in read_mart(warehouse, "points_liability_daily")
    }
    assert {day: values[day] for day in (14, 16, 17, 18, 19, 20)} == {
        14: 80, 16: 80, 17: 160, 18: 160, 19: 100, 20: 100,
    }  # fmt: skip
    (month,) = read_mart(warehouse, "points_rollforward_monthly")
    assert (month["issued"], month["re_estimated"], month["closing"]) == (80, 20, 100)
    assert_as_if_computed_anew(warehouse, "after the day from which the edit holds")
