"""docs/states.md names the statuses that the database allows, and the database allows no others."""

import re
from typing import get_args

import psycopg
import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.runs import RunStatus
from tests.architecture.repository import ROOT

_SECTION = re.compile(
    r"^## [^\n]*: `(?P<column>\w+\.\w+\.\w+)`\n"
    r".*?```mermaid\n(?P<diagram>.*?)```(?P<rest>.*?)(?=^## |\Z)",
    re.M | re.S,
)
_ARROW = re.compile(r"^ *(\[\*\]|\w+) --> (\[\*\]|\w+)", re.M)
_LABEL = re.compile(r'^ *state "(.+)" as (\w+)$', re.M)
_MEANING = re.compile(r"^\| `(\w+)` \| ", re.M)

SECTIONS = {
    found["column"]: found
    for found in _SECTION.finditer((ROOT / "docs" / "states.md").read_text(encoding="utf-8"))
}


def _states(diagram: str) -> set[str]:
    """The states of a diagram, by their labels where they have one."""
    labels = {name: label for label, name in _LABEL.findall(diagram)}
    names = {name for arrow in _ARROW.findall(diagram) for name in arrow if name != "[*]"}
    return {labels.get(name, name) for name in names}


def _allowed(warehouse: Warehouse) -> dict[str, set[str]]:
    """The values that each check constraint on one text column allows, by table and column."""
    with warehouse.connect() as session:
        rows = session.execute(
            """
            select
                format('%s.%s', conrelid::regclass, attname),
                pg_get_constraintdef(pg_constraint.oid)
            from pg_constraint
            inner join pg_attribute on attrelid = conrelid and attnum = any(conkey)
            where contype = 'c' and cardinality(conkey) = 1 and atttypid = 'text'::regtype
                and connamespace::regnamespace::text in ('sync', 'outbox')
            """
        ).fetchall()
    return {column: set(re.findall(r"'([^']+)'::text", rule)) for column, rule in rows}


def test_the_states_of_the_page_are_those_of_the_database(warehouse: Warehouse) -> None:
    drawn = {column: _states(section["diagram"]) for column, section in SECTIONS.items()}
    assert drawn == _allowed(warehouse)


def test_the_states_of_a_run_in_the_code_are_those_of_the_database(warehouse: Warehouse) -> None:
    assert set(get_args(RunStatus)) == _allowed(warehouse)["sync.runs.status"] | {"missing"}


def test_every_state_of_a_section_is_explained() -> None:
    for column, section in SECTIONS.items():
        explained = _MEANING.findall(section["rest"])
        assert not explained or set(explained) == _states(section["diagram"]), column


def test_every_state_of_the_page_can_be_reached_from_the_start() -> None:
    for column, section in SECTIONS.items():
        arrows = _ARROW.findall(section["diagram"])
        reached, before = {"[*]"}, set()
        while reached != before:
            before = set(reached)
            reached |= {after for source, after in arrows if source in before}
        assert {name for arrow in arrows for name in arrow} == reached, column


@pytest.mark.parametrize(
    "statement",
    [
        "insert into sync.runs (feed, window_from, window_to, status)"
        " values ('leads', '2026-03-01', '2026-03-01', 'lost')",
        "insert into sync.fetches (run_id, client_id, status)"
        " select run_id, 1, 'lost' from sync.runs",
    ],
)
def test_the_database_refuses_a_status_of_another_name(
    warehouse: Warehouse, statement: str
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into sync.runs (feed, window_from, window_to)"
            " values ('leads', '2026-03-01', '2026-03-01')"
        )
        with pytest.raises(psycopg.errors.CheckViolation):
            session.execute(statement.encode())
