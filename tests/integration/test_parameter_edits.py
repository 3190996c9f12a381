"""Which edits of the parameters of the marts are refused."""

import psycopg
import pytest

from lcm_pipeline.warehouse.connection import Warehouse


@pytest.mark.parametrize(
    "edit",
    [
        "update mart.parameters set point_value = 'NaN'",
        "update mart.parameters set point_value = -1",
        "update mart.parameters set expected_breakage = 'NaN'",
        "update mart.parameters set expected_breakage = 1.01",
        "update mart.parameters set residual_limit = 'NaN'",
        "update mart.parameters set rfm_breaks = '{0.5, NaN}'",
        "update mart.parameters set valid_from = 'infinity'",
        "update mart.parameters set valid_from = '-infinity'",
        "delete from mart.parameters",
        "insert into mart.parameter_history values ('1999-03-01', 'NaN', 0, 1, 1)",
        "insert into mart.parameter_history values ('-infinity', 1, 0, 1, 1)",
        "insert into mart.source_breakage values (4, 'infinity', 0.1)",
        "insert into mart.source_breakage values (4, '2026-03-01', 'NaN')",
    ],
)
def test_parameters_that_make_the_marts_meaningless_are_refused(
    warehouse: Warehouse, edit: str
) -> None:
    with warehouse.connect(autocommit=True) as session:
        with pytest.raises(psycopg.errors.CheckViolation):
            session.execute(edit)
        parameters = session.execute("select point_value from mart.parameters").fetchall()
    assert len(parameters) == 1


def test_a_row_of_the_history_that_would_hold_on_no_day_is_refused(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set point_value = 2, valid_from = '2026-03-01'")
        for edit in (
            "insert into mart.parameter_history values ('2026-03-01', 3, 0, 1, 1)",
            "insert into mart.parameter_history values ('2026-06-01', 3, 0, 1, 1)",
            "update mart.parameter_history set valid_from = '2026-06-01'",
        ):
            with pytest.raises(psycopg.errors.CheckViolation, match="holds on no day"):
                session.execute(edit.encode())
        session.execute("insert into mart.parameter_history values ('2026-02-01', 3, 0, 1, 1)")
        values = session.execute(
            "select point_value from mart.dated_parameters order by first_day"
        ).fetchall()
    assert [value for (value,) in values] == [1, 3, 2]
