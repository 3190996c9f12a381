"""Databases of tests: their addresses and clones, short queries, and backends that are ended."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse import sessions
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.sessions import ReconnectingSession

_numbers = itertools.count(1)


def address_of(postgres: str, database: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(postgres)._replace(path=f"/{database}").geturl()


@contextmanager
def cloned_warehouse(postgres: str, template: str) -> Iterator[Warehouse]:
    """A clone of a database, which is dropped afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute(
            SQL("create database {} template {} strategy file_copy").format(
                Identifier(name), Identifier(template)
            )
        )
    warehouse = Warehouse(address_of(postgres, name))
    yield warehouse
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def fetch_rows(warehouse: Warehouse, statement: str) -> list[tuple[Any, ...]]:
    with warehouse.connect() as session:
        return session.execute(statement.encode()).fetchall()


def fetch_value(warehouse: Warehouse, statement: str) -> Any:
    """The first value of the first row; None if there is no row."""
    found = fetch_rows(warehouse, statement)
    return found[0][0] if found else None


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan of the server, as JSON, and all plans below it."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes_of(child)


def dump(warehouse: Warehouse) -> str:
    """Every row of every table, as text."""
    with warehouse.connect() as session:
        tables = session.execute(
            "select oid::regclass::text from pg_class where relkind in ('r', 'm')"
            " and relnamespace::regnamespace::text"
            " in ('core', 'history', 'mart', 'refresh', 'sync', 'staging', 'outbox')"
        ).fetchall()
        return "\n".join(
            str(session.execute(f"select t::text from {name} as t".encode()).fetchall())
            for (name,) in tables
        )


def backend_of(reconnecting: ReconnectingSession) -> int:
    """The process id of the backend that serves a session now."""
    return reconnecting.run(sessions.backend_of)


def cut(warehouse: Warehouse, backend: int) -> None:
    """End a backend, and so the session that it serves."""
    with warehouse.connect(autocommit=True) as session:
        session.execute("select pg_terminate_backend(%s, 5000)", (backend,))
