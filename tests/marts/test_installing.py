"""Marts are installed once, replaced under readers, and described by their own files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.warehouse.access.dictionary import as_markdown, describe
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts import definitions as module
from lcm_pipeline.warehouse.marts.definitions import RUN_VIEWS, marts
from lcm_pipeline.warehouse.marts.install import MartInUseError, install_marts
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from tests.databases import nodes_of
from tests.marts.comparing import read_mart
from tests.marts.worlds import Synced

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sql_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of marts that a test may change."""
    folder = tmp_path / "sql" / "marts"
    shutil.copytree(ROOT / "sql" / "marts", folder)
    monkeypatch.setattr(module, "sql_folder", lambda: folder.parent)
    marts.cache_clear()
    yield folder
    marts.cache_clear()


def _install(warehouse: Warehouse) -> list[str]:
    marts.cache_clear()
    with warehouse.connect(autocommit=True) as session:
        return install_marts(session)


def test_nothing_is_installed_twice(warehouse: Warehouse) -> None:
    assert migrate(warehouse) == []
    assert _install(warehouse) == []


def test_a_view_that_changed_inside_is_replaced_in_place(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    before = _oids(warehouse)
    path = sql_copy / "lot_versions.sql"
    path.write_text(path.read_text().replace("deleted_at is null", "deleted_at is null and true"))
    assert _install(warehouse) == ["lot_versions"]
    assert _oids(warehouse) == before


def test_a_stored_mart_that_changed_is_recreated_with_its_readers_and_no_others(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    before = _oids(warehouse)
    path = sql_copy / "points_liability_daily.sql"
    path.write_text(path.read_text().replace("balances.lots > 0", "balances.lots > 0 and true"))
    assert _install(warehouse) == ["points_liability_daily"]
    after = _oids(warehouse)
    assert before.keys() == after.keys()
    changed = {name for name, oid in after.items() if oid != before[name]}
    assert changed == {
        "points_liability_daily",
        "points_rollforward_monthly",
        "program_daily",
        "program_daily_as_known_then",
    }


def _rename_a_column(sql_copy: Path) -> None:
    """Rename the column cards of mart.card_mix, so that the mart has to be recreated."""
    path = sql_copy / "card_mix.sql"
    path.write_text(path.read_text().replace("count(*) as cards,", "count(*) as all_cards,")
                    .replace("card_mix.cards is", "card_mix.all_cards is"))  # fmt: skip


def test_a_mart_with_other_columns_keeps_its_grants(warehouse: Warehouse, sql_copy: Path) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create role visitor")
        session.execute("grant select on mart.card_mix to visitor")
    _rename_a_column(sql_copy)
    assert _install(warehouse) == ["card_mix"]
    with warehouse.connect(autocommit=True) as session:
        may = session.execute(
            "select has_table_privilege('visitor', 'mart.card_mix', 'select'),"
            " has_table_privilege('lcm_bi', 'mart.card_mix', 'select')"
        ).fetchone()
        session.execute("revoke all on mart.card_mix from visitor")
        session.execute("drop role visitor")
    assert may == (True, True)


def test_an_index_of_somebody_is_kept_if_it_fits_and_named_if_not(
    warehouse: Warehouse, sql_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    indexes = "select indexname, indexdef from pg_indexes where schemaname = 'mart' order by 1"
    with warehouse.connect(autocommit=True) as session:
        session.execute("create index by_type on mart.card_mix (card_type) where clients > 10")
        before = session.execute(indexes).fetchall()
        session.execute("create index on mart.card_mix (cards)")
    _rename_a_column(sql_copy)
    assert _install(warehouse) == ["card_mix"]
    with warehouse.connect(autocommit=True) as session:
        after = session.execute(indexes).fetchall()
    assert [name for name, _ in after] == [name for name, _ in before]
    assert [row for row in after if row[0] == "by_type"] == [
        row for row in before if row[0] == "by_type"
    ]
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("the index card_mix_cards_idx of yours no longer fits")


def test_views_of_others_are_never_dropped(warehouse: Warehouse, sql_copy: Path) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create view public.mine as select cards from mart.card_mix")
    _rename_a_column(sql_copy)
    with pytest.raises(MartInUseError, match="mine"):
        _install(warehouse)
    assert read_mart(warehouse, "card_mix") == []


def _rename_cards(sql_copy: Path) -> None:
    _rename_a_column(sql_copy)


def test_what_else_others_attached_to_marts_is_never_dropped(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    attached = (
        "function public.count_cards()",
        "function public.types_of_cards()",
        "trigger not_written on public.mine",
        "rule not_deleted on public.mine",
        "default value for public.mine.cards",
        "table column public.kept.card",
    )
    with warehouse.connect(autocommit=True) as session:
        for statement in (
            "create view public.mine as select card_type, cards from mart.card_mix",
            "create function public.nothing() returns trigger language plpgsql"
            " as 'begin return null; end'",
            "create trigger not_written instead of insert on public.mine"
            " for each row execute function public.nothing()",
            "create rule not_deleted as on delete to public.mine do instead nothing",
            "alter view public.mine alter column cards set default 5",
            "create function public.count_cards() returns numeric language sql"
            " begin atomic select sum(mine.cards) from public.mine; end",
            "create function public.types_of_cards() returns setof mart.card_mix language sql"
            " as 'select * from mart.card_mix'",
            "create table public.kept (id integer, card mart.card_mix)",
        ):
            session.execute(statement.encode())
    _change_comment(sql_copy)
    with pytest.raises(MartInUseError) as refused:
        _install(warehouse)
    assert {line.strip() for line in str(refused.value).splitlines()[1:]} == set(attached)
    with warehouse.connect() as session:
        assert session.execute("select public.count_cards()").fetchone() == (None,)


@pytest.fixture
def visitor(warehouse: Warehouse) -> Iterator[None]:
    """A role `visitor`, and a view of somebody else on a mart."""
    with warehouse.connect(autocommit=True) as session:
        session.execute("create role visitor")
        session.execute("create view public.mine as select card_type, cards from mart.card_mix")
    yield
    with warehouse.connect(autocommit=True) as session:
        session.execute("drop owned by visitor")
        session.execute("drop role visitor")


@pytest.mark.usefixtures("visitor")
def test_rights_on_columns_of_marts_and_of_views_of_others_are_kept(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("grant select (card_type) on mart.card_mix to visitor")
        session.execute("grant select (card_type) on public.mine to visitor")
    _change_comment(sql_copy)
    assert _install(warehouse) == ["card_mix"]
    with warehouse.connect(autocommit=True) as session:
        may = session.execute(
            "select has_column_privilege('visitor', 'mart.card_mix', 'card_type', 'select'),"
            " has_column_privilege('visitor', 'public.mine', 'card_type', 'select')"
        ).fetchone()
    assert may == (True, True)


def test_a_publication_keeps_the_marts_that_it_names(warehouse: Warehouse, sql_copy: Path) -> None:
    published = "select tablename, attnames, rowfilter from pg_publication_tables"
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            'create publication "for BI" for table mart.refunds (day, pos_id)'
            " where (day > '2026-01-01' and pos_id <> 0), mart.sales_daily"
            " with (publish = 'insert')"
        )
        before = session.execute(published).fetchall()
    path = sql_copy / "cheques.sql"
    path.write_text(f"{path.read_text()}-- changed\n")
    assert _install(warehouse) == ["cheques"]
    with warehouse.connect(autocommit=True) as session:
        assert session.execute(published).fetchall() == before


@pytest.mark.usefixtures("visitor")
def test_the_right_to_grant_rights_on_marts_and_on_views_of_others_is_kept(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    with warehouse.connect(autocommit=True) as session:
        for table in ("mart.card_mix", "public.mine"):
            session.execute(f"grant select on {table} to visitor with grant option".encode())
            session.execute(
                f"grant update (card_type) on {table} to visitor with grant option".encode()
            )
    _change_comment(sql_copy)
    assert _install(warehouse) == ["card_mix"]
    with warehouse.connect(autocommit=True) as session:
        may = session.execute(
            "select bool_and("
            " has_table_privilege('visitor', name, 'select with grant option')"
            " and has_column_privilege('visitor', name, 'card_type', 'update with grant option'))"
            " from unnest(array['mart.card_mix', 'public.mine']) as tables (name)"
        ).fetchone()
    assert may == (True,)


def _change_comment(sql_copy: Path) -> None:
    path = sql_copy / "card_mix.sql"
    path.write_text(path.read_text() + "\n-- changed\n")


def test_views_of_others_that_still_fit_are_made_again(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create role visitor")
        for statement in (
            "create view public.mine with (security_barrier) as"
            " select card_type from mart.card_mix",
            "comment on view public.mine is 'mine'",
            "comment on column public.mine.card_type is 'its type'",
            "grant select on public.mine to visitor",
            "create materialized view public.of_mine as select distinct card_type from public.mine",
            "create unique index of_mine_key on public.of_mine (card_type)",
        ):
            session.execute(statement.encode())
    _rename_cards(sql_copy)
    assert _install(warehouse) == ["card_mix"]
    with warehouse.connect(autocommit=True) as session:
        try:
            assert session.execute("select * from public.of_mine").fetchall() == []
            assert session.execute(
                "select obj_description('public.mine'::regclass),"
                " col_description('public.mine'::regclass, 1),"
                " has_table_privilege('visitor', 'public.mine', 'select'),"
                " (select reloptions from pg_class where oid = 'public.mine'::regclass),"
                " to_regclass('public.of_mine_key') is not null"
            ).fetchone() == ("mine", "its type", True, ["security_barrier=true"], True)
        finally:
            session.execute("revoke all on public.mine from visitor")
            session.execute("drop role visitor")


def test_a_view_of_somebody_is_filled_as_its_owner_not_as_who_migrates(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create role visitor in role lcm_bi")
        for statement in (
            "create schema visited authorization visitor",
            "set role visitor",
            "create function visited.who() returns text language sql as 'select current_user'",
            "create materialized view visited.mine as"
            " select visited.who() as ran_as, count(card_type) as cards from mart.card_mix",
            "reset role",
        ):
            session.execute(statement.encode())
    _rename_cards(sql_copy)
    assert _install(warehouse) == ["card_mix"]
    with warehouse.connect(autocommit=True) as session:
        found = session.execute("select ran_as from visited.mine").fetchone()
        session.execute("drop schema visited cascade")
        session.execute("drop role visitor")
    assert found == ("visitor",)


def test_all_views_of_others_that_do_not_fit_are_named_at_once(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("create view public.first_one as select cards from mart.card_mix")
        session.execute("create view public.second_one as select cards from public.first_one")
        session.execute("create view public.fitting as select card_type from mart.card_mix")
    _rename_cards(sql_copy)
    with pytest.raises(MartInUseError) as refused:
        _install(warehouse)
    named = [line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:]]
    assert named == ["first_one", "second_one"]
    with warehouse.connect() as session:
        assert session.execute("select * from public.second_one").fetchall() == []


def test_one_line_in_its_head_makes_a_mart_incremental(
    warehouse: Warehouse, sql_copy: Path
) -> None:
    """A materialized view becomes a table, of which a refresh computes the touched days."""
    path = sql_copy / "refunds.sql"
    made = "create materialized view mart.refunds as"
    path.write_text(path.read_text().replace(made, f"-- incremental: day\n{made}"))
    assert _install(warehouse) == ["refunds"]
    refunds = next(mart for mart in marts() if mart.name == "refunds")
    assert (refunds.kind, refunds.refreshed_by) == ("table", "day")
    found = [column for column in describe(warehouse) if column.table == "refunds"]
    assert {column.kind for column in found} == {"table"}
    assert all(column.comment and column.table_comment for column in found)
    refresh_marts(warehouse)
    assert "refunds" in {one.name for one in refresh_marts(warehouse, everything=True)}


@pytest.mark.parametrize("line", ["refreshed: alway", "as day pass: expire_lots", "needs: lots"])
def test_a_line_of_a_head_that_means_nothing_is_an_error(line: str, sql_copy: Path) -> None:
    """Ignored, it would leave rows of the mart as they are."""
    path = sql_copy / "card_mix.sql"
    path.write_text(path.read_text().replace("-- grain: ", f"-- {line}\n-- grain: ", 1))
    with pytest.raises(ValueError, match=line):
        marts()


def test_a_renamed_mart_is_refreshed_as_its_head_says(warehouse: Warehouse, sql_copy: Path) -> None:
    for path in sql_copy.glob("*.sql"):
        text = path.read_text().replace("restatements", "restated_days")
        path.write_text(text)
    (sql_copy / "restatements.sql").rename(sql_copy / "restated_days.sql")
    _install(warehouse)
    refresh_marts(warehouse)
    assert {one.name for one in refresh_marts(warehouse) if not one.is_skipped} == {
        "data_completeness", "leads_sla", "restated_days",
    }  # fmt: skip


def test_what_refreshes_do_besides_is_declared_where_it_has_an_effect() -> None:
    for mart in marts():
        besides = mart.head.keys() & {"as days pass", "as days pass, add clients", "needs"}
        assert not besides or mart.refreshed_by == "client", mart.name
        assert "record changes" not in mart.head or mart.follows_changes, mart.name
        assert "refreshed" not in mart.head or mart.kind == "materialized view", mart.name
    assert {mart.name for mart in marts()} >= RUN_VIEWS


def test_a_mart_whose_file_is_gone_is_dropped(warehouse: Warehouse, sql_copy: Path) -> None:
    (sql_copy / "card_mix.sql").unlink()
    _install(warehouse)
    with pytest.raises(psycopg.errors.UndefinedTable):
        read_mart(warehouse, "card_mix")
    assert read_mart(warehouse, "program_daily") == []


def test_each_file_says_its_question_grain_and_formula() -> None:
    for mart in marts():
        assert mart.question.endswith("?"), mart.name
        assert mart.grain, mart.name
        assert mart.formula.endswith("."), mart.name
        assert mart.kind in ("view", "materialized view", "table"), mart.name


@pytest.mark.parametrize(
    ("table", "day"), [("operations", "operation_date"), ("registrations", "registration_date")]
)
def test_a_date_filter_prunes_months(table: str, day: str, by_chance: Synced) -> None:
    with by_chance.warehouse.connect() as session:
        statement = f"explain (format json) select * from core.{table} where {day} = '2026-02-03'"
        row = session.execute(statement.encode()).fetchone()
    assert row is not None
    read = {node.get("Relation Name") for node in nodes_of(row[0][0]["Plan"])} - {None}
    assert read == {f"{table}_202602"}


def test_the_data_dictionary_is_what_the_database_says(warehouse: Warehouse) -> None:
    written = (ROOT / "docs" / "data_dictionary.md").read_text()
    assert written == as_markdown(describe(warehouse)), "run `lcm docs`"


def test_the_dictionary_has_the_question_and_formula_of_every_mart(warehouse: Warehouse) -> None:
    page = as_markdown(describe(warehouse))
    for mart in marts():
        kind = "" if mart.kind == "table" else f" ({mart.kind})"
        _, _, described = page.partition(f"### mart.{mart.name}{kind}\n")
        described, _, _ = described.partition("\n### ")
        assert mart.question[1:] in described
        assert mart.formula[1:] in described


def _oids(warehouse: Warehouse) -> dict[str, int]:
    with warehouse.connect() as session:
        rows = session.execute(
            "select relname, oid from pg_class"
            " where relnamespace = 'mart'::regnamespace and relkind in ('v', 'm', 'r')"
        )
        return dict(rows.fetchall())
