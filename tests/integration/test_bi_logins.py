"""The login for dashboards, and the error if it cannot be created."""

from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy.engine import make_url

from lcm_pipeline.warehouse.access.bi_logins import BiLoginError, ensure_bi_login, sqlalchemy_uri
from lcm_pipeline.warehouse.connection import Warehouse


def _as_user(url: str, user: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}").geturl()


def test_a_login_reads_marts_for_a_minute_at_most_and_nothing_else(warehouse: Warehouse) -> None:
    for password in ("first", "it's a second"):
        uri = ensure_bi_login(warehouse, name="lcm_superset_test", password=password)
        assert make_url(uri).password == password
    with psycopg.connect(_as_user(warehouse.url, "lcm_superset_test"), autocommit=True) as session:
        session.execute("select count(*) from mart.rfm")
        assert session.execute("show statement_timeout").fetchone() == ("1min",)
        assert session.execute("show default_transaction_read_only").fetchone() == ("on",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("select 1 from core.clients")


def test_a_user_who_may_not_create_logins_gets_the_statements_to_run(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as owner:
        owner.execute("create role modest login")
        try:
            modest = Warehouse(_as_user(warehouse.url, "modest"))
            with pytest.raises(BiLoginError, match="in role lcm_bi") as refused:
                ensure_bi_login(modest, name="lcm_superset_other", password="secret")
        finally:
            owner.execute("drop role modest")
        roles = owner.execute("select from pg_roles where rolname = 'lcm_superset_other'")
        assert roles.fetchone() is None
    assert "LCM_BI_DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "database"),
    [
        ("postgresql://me:pw@db.example:5433/loyalty", "db.example", "5433", "loyalty"),
        ("postgresql://me@/lcm?host=%2Frun%2Fa%20b&port=5432", "/run/a b", "5432", "lcm"),
        ("postgresql://me@db.example/lcm?sslmode=require", "db.example", None, "lcm"),
    ],
)
def test_sqlalchemy_gets_every_part_of_the_address(
    url: str, host: str, port: str | None, database: str
) -> None:
    uri = make_url(sqlalchemy_uri(url, user="bi@home", password="p/w:@"))
    assert (uri.drivername, uri.username, uri.password) == (
        "postgresql+psycopg2",
        "bi@home",
        "p/w:@",
    )
    assert (uri.query.get("host"), uri.query.get("port"), uri.database) == (host, port, database)
    assert ("sslmode" in uri.query) == ("sslmode" in url)
