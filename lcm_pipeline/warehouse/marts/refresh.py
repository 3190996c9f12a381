"""Refresh of the stored marts: one call shows one state of the warehouse in all of them.

It is one transaction at repeatable read: readers see the old rows until the commit, and are never
locked out. Tables compute only the clients and days that changed (`incremental`); other marts
are computed in full, and only rows that differ are written. A digest of the state of the feeds
below it is stored with each mart, and a mart that has this digest already is skipped.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.marts.definitions import Mart, marts, marts_read, sources_below
from lcm_pipeline.warehouse.marts.differences import replace_rows, table_of
from lcm_pipeline.warehouse.marts.incremental import IncrementalRefresher
from lcm_pipeline.warehouse.marts.progress import logged_progress
from lcm_pipeline.warehouse.marts.scope import Scope
from lcm_pipeline.warehouse.queries import composed, fetch_count, fetch_value, queries, query
from lcm_pipeline.warehouse.redaction import rule_of
from lcm_pipeline.warehouse.sessions import ReconnectingSession, grant_memory

logger = logging.getLogger(__name__)


class MartRefusedError(UserError):
    """A mart cannot be computed from rows and parameters; the message names it, and no value."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(
            f"mart.{name} cannot be computed ({rule}), so all marts keep their rows. A value of"
            " mart.parameters or an amount in core may be too large, or no number: correct it, then"
            " run lcm marts"
        )


@dataclass(frozen=True)
class MartRefresh:
    """The result of one mart. rows: its number of rows; for a table, the rows written.

    is_skipped: it was up to date already.
    """

    name: str
    rows: int
    seconds: float
    is_skipped: bool = False


def refresh_marts(
    warehouse: Warehouse, names: Collection[str] | None = None, *, everything: bool = False
) -> list[MartRefresh]:
    """Refresh the named marts, or all; returns a result for each, after those that it reads.

    everything: compute marts that are up to date too, in full. Raises MartRefusedError and
    psycopg.Error; then nothing has changed.
    """
    with ReconnectingSession(warehouse, "lcm marts") as reconnecting:
        return refresh_marts_in(reconnecting, names, everything=everything)


def refresh_marts_in(
    reconnecting: ReconnectingSession,
    names: Collection[str] | None = None,
    *,
    everything: bool = False,
) -> list[MartRefresh]:
    """As `refresh_marts`, in a session that the caller has."""
    wanted = [mart for mart in marts() if names is None or mart.name in names]
    if any(mart.follows_changes for mart in wanted):
        # The clients that changed are recorded once for all tables, so these refresh together.
        wanted = [mart for mart in marts() if mart in wanted or mart.follows_changes]
    wanted = [mart for mart in wanted if mart.kind != "view"]
    return reconnecting.run(lambda session: _refresh_exclusively(session, wanted, everything))


def are_up_to_date(warehouse: Warehouse) -> bool:
    """Whether all stored marts show the facts, parameters and names as they are now."""
    with warehouse.connect(application_name="lcm marts") as session:
        return not marts_behind(session)


def marts_behind(session: Session) -> list[str]:
    """The stored marts that do not show the facts, parameters and names as they are now."""
    skipped = [mart for mart in marts() if mart.kind != "view" and not mart.is_never_skipped]
    signatures = _signatures(session, skipped)
    return sorted(signatures.keys() - _find_up_to_date(session, signatures))


def refresh_completeness(warehouse: Warehouse) -> None:
    """Refresh only mart.data_completeness, so that it shows the current state of the facts.

    A failure is logged, not raised: the facts do not depend on it.
    """
    try:
        refresh_marts(warehouse, {"data_completeness"})
    except (psycopg.Error, MartRefusedError) as error:
        logger.warning(
            "mart.data_completeness could not be refreshed (%s): the next refresh of the marts"
            " brings it up to date", type(error).__name__,
        )  # fmt: skip


def invalidate_refreshes(session: Session, names: Sequence[str]) -> None:
    """Invalidate the digests of these marts, so that the next refresh computes them."""
    session.execute(query("invalidate_refreshes"), {"names": list(names)})


def _refresh_exclusively(
    session: Session, wanted: list[Mart], everything: bool
) -> list[MartRefresh]:
    """Refresh under the lock, taken first: a snapshot from before the wait would be outdated."""
    session.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with locks.exclusive(session, locks.REFRESH):
            grant_memory(session)
            with logged_progress(len(wanted)) as begin:
                return _refresh(session, wanted, everything, begin)
    finally:
        # A session that is lost, or that an interrupt left busy, is closed.
        if session.info.transaction_status is TransactionStatus.IDLE:
            session.isolation_level = None


def _refresh(
    session: Session,
    wanted: list[Mart],
    everything: bool,
    begin: Callable[[str], None],
) -> list[MartRefresh]:
    signatures = _signatures(session, wanted)
    up_to_date = set() if everything else _find_up_to_date(session, signatures)
    up_to_date -= {mart.name for mart in wanted if mart.is_never_skipped}
    tables = {mart.name for mart in wanted if mart.follows_changes}
    first, rest = _split(wanted)
    refreshed: list[MartRefresh] = []
    for mart in first:
        begin(mart.name)
        refreshed.append(_refresh_one(session, mart, None, is_skipped=mart.name in up_to_date))
    refresher = None
    if tables - up_to_date:
        # All tables, since the record of changed clients and days is cleared afterwards.
        up_to_date -= tables
        refresher = IncrementalRefresher(Scope.of_changes(session, is_full=everything))
    for mart in rest:
        begin(mart.name)
        refreshed.append(_refresh_one(session, mart, refresher, is_skipped=mart.name in up_to_date))
    if refresher is not None:
        refresher.close()
        _record_published_figures(session, {mart.name for mart in wanted})
        session.execute(query("finish_refresh"))
    session.execute(
        query("record_refreshes"),
        {"names": list(signatures), "signatures": list(signatures.values())},
    )
    return refreshed


def _record_published_figures(session: Session, refreshed: set[str]) -> None:
    """Record the first figures of new days and months, and figures of past months that changed.

    Not from marts that were not refreshed, because a failed check blocks them.
    """
    blocked = {mart.name for mart in marts() if mart.kind != "view"} - refreshed
    for name in ("publish_days", "publish_months", "record_restated_figures"):
        if blocked.isdisjoint(marts_read(queries()[name])):
            session.execute(query(name))


def _split(wanted: list[Mart]) -> tuple[list[Mart], list[Mart]]:
    """Split off the marts computed in full that tables by client read; they are refreshed first.

    Their changes add clients to the scope of the tables.
    """
    read = {
        name for mart in marts() if mart.refreshed_by in ("client", "sums") for name in mart.reads
    }
    first = [mart for mart in wanted if not mart.follows_changes and mart.name in read]
    return first, [mart for mart in wanted if mart not in first]


def _signatures(session: Session, wanted: list[Mart]) -> dict[str, str]:
    """The digest of what each mart is made of: feeds and names below it, and parameters."""
    states: dict[str, str | None] = dict(session.execute(query("states_of_sources")).fetchall())
    below = sources_below()
    return {
        mart.name: sha256(
            "|".join(
                states.get(source) or "" for source in ["", *sorted(below[mart.name])]
            ).encode()
        ).hexdigest()
        for mart in wanted
    }


def _find_up_to_date(session: Session, signatures: dict[str, str]) -> set[str]:
    """The marts that show this state already."""
    rows: dict[str, str] = dict(session.execute(query("refreshed_marts")).fetchall())
    return {name for name, found in signatures.items() if rows.get(name) == found}


def _refresh_one(
    session: Session,
    mart: Mart,
    refresher: IncrementalRefresher | None,
    *,
    is_skipped: bool,
) -> MartRefresh:
    if is_skipped:
        return MartRefresh(mart.name, 0, 0.0, is_skipped=True)
    began = time.monotonic()
    try:
        if mart.refreshed_by == "rows":
            rows = replace_rows(session, mart)
        elif refresher is not None and mart.kind == "table":
            rows = refresher.replace(mart)
        else:
            # The first time not concurrently: there are no rows to compare with, and no readers to
            # lock out.
            is_concurrent = bool(fetch_value(session, "was_refreshed", {"name": mart.name}))
            values = {"mart_name": mart.name, "is_concurrent": is_concurrent}
            session.execute(query("refresh_mart"), values)
            rows = fetch_count(session, composed("count_table", table=table_of(mart)))
    except psycopg.DataError as error:
        # The original error may quote a row.
        raise MartRefusedError(mart.name, rule_of(error)) from None
    return MartRefresh(mart.name, rows, time.monotonic() - began)
