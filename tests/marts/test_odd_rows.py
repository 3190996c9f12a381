"""Texts of any length and impossible dates neither fail a mart nor add days to it."""

import random
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg.sql import SQL, Identifier

from lcm_pipeline.reporting.reports import make_report
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.marts.author import Author
from tests.marts.comparing import read_mart
from tests.marts.worlds import empty_world, sync

START, LAST = date(2026, 3, 1), date(2026, 3, 5)
KEPT = [mart for mart in marts() if mart.kind == "table"]
STORED = [mart for mart in marts() if mart.kind != "view"]


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with empty_world(START, datetime(2026, 3, 6)) as running:
        yield running


def _long(seed: int, characters: int = 3_000) -> str:
    """A random text of 12 kB that compression cannot shrink: four bytes per character."""
    chance = random.Random(seed)
    return "".join(chr(chance.randrange(0x20000, 0x2A6D0)) for _ in range(characters))


@pytest.mark.slow
def test_texts_of_12_kb_fail_no_mart_and_stay_distinct_after_the_cut(
    simulator: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    author, text = Author(simulator), _long(1)
    pairs = [f"{text}A", f"{text}B"]
    for number, name in enumerate(pairs, start=1):
        card = {"Card": number, "Card_Type": name, "Card_Status": name, "RegPos": number,
                "RegPosName": name}  # fmt: skip
        client = author.client(number, "2026-03-01T09:00:00", [card])
        where = {"Pos": number, "PosName": name, "PartnerName": name}
        author.cheque(client, 100 + number, "2026-03-02T10:00:00", "100.00", **where)
        author.cheque(client, 200 + number, "2026-03-03T10:00:00", "9.00", Refund=True, **where)
        author.lot(client, 300 + number, "2026-03-02T10:00:00", "10.00", BonusSource=number,
                   BonusSourceName=name, ends="2026-04-01T00:00:00", **where)  # fmt: skip
        texts = ("LeadTypeName", "LeadSourceName", "FormName", "LeadStatusName", "LeadMarkName")
        author.lead(client, 400 + number, "2026-03-02T10:00:00", **dict.fromkeys(texts, name))
        offer = author.offer(client, 500 + number, "2026-03-02T10:00:00", [600 + number],
                             Confirm=True, ProcTimeConfirm="2026-03-02T11:00:00")  # fmt: skip
        (good,) = client.offer_of[offer].goods
        good["Name"] = good["Code"] = name
        author.choose(client, 600 + number)
    sync(simulator, warehouse, tmp_path, START, date(2026, 3, 4))
    # The second refresh of each mart is concurrent with its readers, by its unique index.
    sync(simulator, warehouse, tmp_path, START, LAST)
    refresh_marts(warehouse, everything=True)
    for mart, column in (
        ("card_mix", "card_type"), ("card_mix", "card_status"), ("activity_monthly", "card_type"),
        ("activity_monthly", "store_name"), ("leads_daily", "type_name"),
        ("leads_daily", "source_name"), ("leads_daily", "form_name"), ("leads_sla", "type_name"),
        ("leads_sla", "status_name"), ("store_daily", "partner_name"),
        ("store_daily", "store_name"), ("sales_daily", "partner_name"), ("earn_mix",
        "bonus_source_name"), ("favourite_goods_monthly", "name"),
        ("favourite_goods_monthly", "code"), ("enrolment_daily", "store_name"),
    ):  # fmt: skip
        shown = {row[column] for row in read_mart(warehouse, mart)} - {None}
        assert len(shown) == 2, (mart, column)
        assert all(name.startswith(text[:180]) and len(name) <= 200 for name in shown), mart
    marks = [name for row in read_mart(warehouse, "leads_daily") for name in row["leads_by_mark"]]
    assert len({*marks}) == 2
    assert max(map(len, marks)) <= 200
    assert make_report(warehouse, LAST).incomplete == ()


def test_days_from_a_registration_to_an_earlier_purchase_are_none(
    simulator: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    """One client redeems two days before its registration, another one two days after it."""
    author = Author(simulator)
    for client, registered, bought in ((1, 3, 1), (2, 1, 3)):
        joined = author.client(client, f"2026-03-0{registered}T09:00:00", [{"Card": client}])
        author.lot(joined, 10 + client, "2026-03-01T08:00:00", "100.00", Remain=Decimal(95))
        moment = f"2026-03-0{bought}T10:00:00"
        author.cheque(joined, 500 + client, moment, "50.00", Redeemed=Decimal(5))
    sync(simulator, warehouse, tmp_path, START, LAST)
    [redeemed] = [row for row in read_mart(warehouse, "redemption") if row["first_redeemers"]]
    assert redeemed["registered_first_redeemers"] == 2
    assert redeemed["days_to_first_redemption"] == 1
    waits = [row["days_to_first_purchase"] for row in read_mart(warehouse, "enrolment_daily")]
    assert sorted(waits) == [0, 2]


def test_a_store_with_a_negative_id_is_not_taken_for_no_store(
    simulator: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    author = Author(simulator)
    client = author.client(1, "2026-03-01T09:00:00", [{"Card": 1, "RegPos": -1}])
    for number, store in enumerate((-1, 0, None), start=1):
        author.cheque(client, number, f"2026-03-0{number}T10:00:00", "50.00", Pos=store,
                      Redeemed=Decimal(number))  # fmt: skip
    author.lot(client, 10, "2026-03-01T08:00:00", "100.00", Remain=Decimal(94))
    sync(simulator, warehouse, tmp_path, START, LAST)
    redeemed = read_mart(warehouse, "redemption")
    assert {row["pos_id"]: row["points_redeemed"] for row in redeemed if row["buyers"]} == {
        -1: 1, 0: 2, None: 3,
    }  # fmt: skip
    [first] = [row for row in redeemed if row["first_redeemers"]]
    assert first["pos_id"] == -1


def test_a_text_of_200_characters_is_not_cut(warehouse: Warehouse) -> None:
    whole, longer = _long(2, 200), _long(2, 201)
    with warehouse.connect() as session:
        row = session.execute(
            "select mart.display_text(%s), mart.display_text(%s), mart.display_text(null),"
            " mart.display_text('')",
            (whole, longer),
        ).fetchone()
    assert row is not None
    assert (row[0], row[2], row[3]) == (whole, None, "")
    assert row[1][:186] == longer[:186]
    assert len(row[1]) == 200


def test_no_index_has_an_uncut_text_of_the_source(
    warehouse: Warehouse,
) -> None:
    """A row of an index can hold at most three texts of 200 four-byte characters."""
    with warehouse.connect() as session:
        found = session.execute(
            "select tables.relname, array_agg(columns.attname::text order by columns.attnum)"
            " from pg_index join pg_class as tables on tables.oid = indrelid"
            " join pg_attribute as columns"
            " on columns.attrelid = indrelid and columns.attnum = any(indkey)"
            " where relnamespace in ('mart'::regnamespace, 'core'::regnamespace,"
            " 'history'::regnamespace, 'sync'::regnamespace, 'refresh'::regnamespace)"
            " and atttypid = 'text'::regtype and not relispartition group by indexrelid, 1"
        ).fetchall()
    shown = {
        "card_mix", "activity_monthly", "activity_changes", "leads_daily", "store_daily",
        "dim_lead_statuses",
    }  # fmt: skip
    assert {name: columns for name, columns in found if name in shown} == {
        "card_mix": ["card_type", "card_status"],
        "activity_monthly": ["card_type"],
        "activity_changes": ["card_type"],
        "leads_daily": ["type_name", "source_name", "form_name"],
        "store_daily": ["partner_name"],
        "dim_lead_statuses": ["status_name"],
    }
    ours = {"endpoint", "feed", "name", "table_name", "reason", "context", "convention", "measure"}
    assert all(ours.issuperset(columns) for name, columns in found if name not in shown)


def test_field_names_of_any_length_are_kept(warehouse: Warehouse) -> None:
    names = [f"{_long(3)}A", f"{_long(3)}B"]
    with warehouse.connect(autocommit=True) as session:
        for _ in range(2):
            session.execute(
                "insert into sync.unknown_fields (feed, field_name)"
                " select 'leads', unnest(%s::text[]) on conflict do nothing",
                (names,),
            )
        rows = session.execute("select field_name from sync.unknown_fields").fetchall()
    assert sorted(name for (name,) in rows) == names


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "moment",
    [
        "1900-01-01",
        pytest.param("1753-01-01", marks=pytest.mark.slow),
        pytest.param("1999-12-31", marks=pytest.mark.slow),
        "2999-12-31",
    ],
)
def test_a_row_of_an_absurd_day_adds_no_day_to_any_mart(
    simulator: RunningSimulator, warehouse: Warehouse, tmp_path: Path, moment: str
) -> None:
    """The row is written as an older version stored it: today it would be quarantined."""
    author = Author(simulator)
    client = author.client(7, "2026-03-01T09:00:00", [{"Card": 7}])
    author.cheque(client, 501, "2026-03-02T10:00:00", "80.00")
    author.lot(client, 502, "2026-03-02T10:00:00", "30.00", ends="2026-03-04T00:00:00",
               Remain=Decimal("0.00"))  # fmt: skip
    author.lead(client, 503, "2026-03-02T10:00:00")
    author.offer(client, 504, "2026-03-02T10:00:00", [5000], Confirm=True,
                 ProcTimeConfirm="2026-03-02T11:00:00")  # fmt: skip
    author.choose(client, 5000)
    sync(simulator, warehouse, tmp_path, START, date(2026, 3, 4))
    before = {mart.name: _texts(warehouse, mart.name) for mart in STORED}
    _copy_to(warehouse, date.fromisoformat(moment))
    refresh_marts(warehouse, everything=True)
    # data_completeness has the row count of the whole table on each day.
    for name in before.keys() - {"data_completeness"}:
        assert _texts(warehouse, name) == before[name], name
    _check_days(warehouse, date(2026, 3, 4))
    # The next incremental refresh computes little, and equals a full computation.
    sync(simulator, warehouse, tmp_path, START, LAST)
    _check_days(warehouse, LAST)
    with warehouse.connect() as session:
        row = session.execute("select newest_day from refresh.horizons").fetchone()
    assert row == (LAST,)
    kept = {mart.name: _texts(warehouse, mart.name) for mart in KEPT}
    refresh_marts(warehouse, everything=True)
    for name, rows in kept.items():
        assert _texts(warehouse, name) == rows, name
    assert make_report(warehouse).day == LAST


def test_a_lot_that_expires_before_it_was_given_is_gone_on_its_own_day(
    simulator: RunningSimulator, warehouse: Warehouse, tmp_path: Path
) -> None:
    author = Author(simulator)
    client = author.client(7, "2026-03-01T09:00:00", [{"Card": 7}])
    for number, remain in ((501, "30.00"), (502, "0.00")):
        author.lot(client, number, "2026-03-03T10:00:00", "30.00", ends="1753-01-01T00:00:00",
                   Remain=Decimal(remain))  # fmt: skip
    sync(simulator, warehouse, tmp_path, START, LAST)
    _check_days(warehouse, LAST)
    moved = {(r["kind"], r["movement_date"]) for r in read_mart(warehouse, "points_movements")}
    assert moved == {("added", date(2026, 3, 3)), ("expired", date(2026, 3, 3))}
    (month,) = read_mart(warehouse, "points_bridge_monthly")
    assert (month["added"], month["expired"], month["closing"]) == (60, 60, 0)


def _copy_to(warehouse: Warehouse, day: date) -> None:
    """Copy a row of each table to a day, in a partition created as older versions did."""
    with warehouse.connect(autocommit=True) as session:
        for table, day_column, moment, key in (
            ("operations", "operation_date", "processed_at", "operation_id"),
            ("leads", "lead_date", "created_at", "lead_id"),
            ("favourite_offers", "offer_date", "offered_at", "favourite_id"),
        ):
            place = Identifier("core", f"{table}_{day.year}{day.month:02d}")
            parent = Identifier("core", table)
            session.execute(SQL("create table {} (like {})").format(place, parent))
            following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
            session.execute(
                SQL("alter table {} attach partition {} for values from ({}) to ({})").format(
                    parent, place, str(day.replace(day=1)), str(following)
                )
            )
            session.execute(SQL("create temp table copied as select * from {}").format(parent))
            session.execute(
                SQL("update copied set {} = %(d)s, {} = %(d)s::timestamp, {} = {} + 900").format(
                    *map(Identifier, (day_column, moment, key, key))
                ),
                {"d": day},
            )
            if table == "operations":
                session.execute("update copied set cheque_id = cheque_id + 900")
            session.execute(SQL("insert into {} select * from copied").format(parent))
            session.execute("drop table copied")


def _check_days(warehouse: Warehouse, last: date) -> None:
    with warehouse.connect() as session:
        columns = session.execute(
            "select relname, attname from pg_class join pg_attribute on attrelid = pg_class.oid"
            " where relnamespace = 'mart'::regnamespace and attnum > 0 and relkind in ('m', 'r')"
            " and atttypid = 'date'::regtype and attname in ('day', 'month', 'cohort_month',"
            " 'issue_month', 'movement_date', 'registration_date', 'as_of_date', 'issue_date')"
        ).fetchall()
        assert len(columns) > 20
        for mart, column in columns:
            found = session.execute(
                SQL("select min({0}), max({0}) from {1}").format(
                    Identifier(column), Identifier("mart", mart)
                )
            ).fetchone()
            assert found is not None
            assert found[0] is None or found[0] >= date(2026, 3, 1), (mart, column, found)
            assert found[1] is None or found[1] <= last, (mart, column, found)


def _texts(warehouse: Warehouse, name: str) -> list[Any]:
    with warehouse.connect() as session:
        statement = SQL("select stored::text from {} as stored order by 1").format(
            Identifier("mart", name)
        )
        return session.execute(statement).fetchall()
