"""Refresh of the stored marts: one call shows one state of the warehouse in all of them.

It is one transaction at repeatable read: readers see the old rows until the commit, and are never
locked out. Tables compute only the clients and days that changed (`incremental`); a materialized
view is computed in full, and only rows that differ are written. A digest of the state is stored
with each mart, and a mart that has this digest already is skipped.
"""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import Mart, marts
from lcm_pipeline.warehouse.marts.incremental import IncrementalRefresher
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.sessions import ReconnectingSession, grant_memory

logger = logging.getLogger(__name__)

# These show pending tasks, the quarantine and the time of the last reading. A run changes those
# without writing a row, so the digest does not cover them.
_ALWAYS = frozenset({"data_completeness", "leads_sla", "restatements"})


@dataclass(frozen=True)
class Refreshed:
    """The result of one mart. rows: its number of rows; for a table, the rows written.

    is_skipped: it was up to date already.
    """

    name: str
    rows: int
    seconds: float
    is_skipped: bool = False


def refresh_marts(
    warehouse: Warehouse, names: Collection[str] | None = None, *, everything: bool = False
) -> list[Refreshed]:
    """Refresh the named marts, or all; returns a result for each, after those that it reads.

    everything: compute marts that are up to date too, in full. Raises psycopg.Error; then nothing
    has changed.
    """
    wanted = [mart for mart in marts() if names is None or mart.name in names]
    if any(mart.kind == "table" for mart in wanted):
        # The clients that changed are recorded once for all tables, so these refresh together.
        wanted = [mart for mart in marts() if mart in wanted or mart.kind == "table"]
    wanted = [mart for mart in wanted if mart.kind != "view"]
    with ReconnectingSession(warehouse, "lcm marts") as reconnecting:
        return reconnecting.run(lambda session: _refresh_alone(session, wanted, everything))


def refresh_completeness(warehouse: Warehouse) -> None:
    """Refresh only mart.data_completeness, so that it shows the current state of the facts.

    A failure is logged, not raised: the facts do not depend on it.
    """
    try:
        refresh_marts(warehouse, {"data_completeness"})
    except psycopg.Error as error:
        logger.warning(
            "mart.data_completeness could not be refreshed (%s): the next refresh of the marts"
            " brings it up to date", type(error).__name__,
        )  # fmt: skip


def forget_refreshes(session: psycopg.Connection, names: Sequence[str]) -> None:
    """Forget the digests of these marts, so that the next refresh computes them."""
    session.execute(query("forget_refreshes"), {"names": list(names)})


def _refresh_alone(
    session: psycopg.Connection, wanted: list[Mart], everything: bool
) -> list[Refreshed]:
    """The lock is taken before the transaction, or that would tell of the time before the wait."""
    session.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with locks.alone(session, locks.REFRESH):
            grant_memory(session)
            return _refresh(session, wanted, everything)
    finally:
        # A session that is lost, or that an interrupt left busy, is closed.
        if session.info.transaction_status is TransactionStatus.IDLE:
            session.isolation_level = None


def _refresh(session: psycopg.Connection, wanted: list[Mart], everything: bool) -> list[Refreshed]:
    row = session.execute(query("mart_signature")).fetchone()
    signature = row[0] if row else ""
    known = set() if everything else _known(session, signature)
    tables = {mart.name for mart in wanted if mart.kind == "table"}
    first, rest = _split(wanted)
    refreshed = [_refresh_one(session, mart, None, is_known=mart.name in known) for mart in first]
    refresher = None
    if tables - known:
        # All tables, since the record of changed clients and days is cleared afterwards.
        known -= tables
        refresher = IncrementalRefresher.of_changes(session, is_everyone=everything)
    refreshed += [
        _refresh_one(session, mart, refresher, is_known=mart.name in known) for mart in rest
    ]
    if refresher is not None:
        refresher.close()
        _record_published_figures(session, {mart.name for mart in wanted})
        session.execute(query("finish_refresh"))
    session.execute(
        query("remember_refreshes"),
        {"signature": signature, "names": [mart.name for mart in wanted]},
    )
    return refreshed


def _record_published_figures(session: psycopg.Connection, refreshed: set[str]) -> None:
    """Record the first figures of new days and months, and figures of past months that changed.

    Skips marts that were not refreshed, because a failed check blocks them.
    """
    if "program_daily" in refreshed:
        session.execute(query("publish_days"))
    if "points_bridge_monthly" in refreshed:
        session.execute(query("publish_months"))
    if {"points_bridge_monthly", "points_rollforward_monthly"} <= refreshed:
        session.execute(query("record_restated_figures"))


def _split(wanted: list[Mart]) -> tuple[list[Mart], list[Mart]]:
    """Split off the materialized views that tables by client read; they are refreshed first.

    Their changes add clients to the scope of the tables.
    """
    read = {
        name for mart in marts() if mart.refreshed_by in ("client", "sums") for name in mart.reads
    }
    first = [mart for mart in wanted if mart.kind == "materialized view" and mart.name in read]
    return first, [mart for mart in wanted if mart not in first]


def _known(session: psycopg.Connection, signature: str) -> set[str]:
    """The marts that show this state already."""
    rows = session.execute(query("refreshed_marts"), {"signature": signature})
    return {name for (name,) in rows.fetchall()} - _ALWAYS


def _refresh_one(
    session: psycopg.Connection,
    mart: Mart,
    refresher: IncrementalRefresher | None,
    *,
    is_known: bool,
) -> Refreshed:
    if is_known:
        return Refreshed(mart.name, 0, 0.0, is_skipped=True)
    began = time.monotonic()
    if refresher is not None and mart.kind == "table":
        rows = refresher.replace(mart)
    else:
        rows = _recompute(session, mart.name)
    return Refreshed(mart.name, rows, time.monotonic() - began)


def _recompute(session: psycopg.Connection, name: str) -> int:
    """Recompute a materialized view; returns its number of rows.

    The first time not concurrently: there are no rows to compare with, and no readers to lock out.
    """
    view = Identifier("mart", name)
    row = session.execute(query("was_refreshed"), {"name": name}).fetchone()
    values = {"mart_name": name, "is_concurrent": bool(row and row[0])}
    session.execute(query("refresh_mart"), values)
    counted = session.execute(SQL("select count(*) from {}").format(view)).fetchone()
    return int(counted[0]) if counted else 0
