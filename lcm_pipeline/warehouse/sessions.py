"""A session that reconnects when it is lost, for idempotent work.

The work passed to `run` must be complete in itself: it may run again after its commit, when the
response of the server was lost, and must then leave the same rows.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.errors import WarehouseLockedError
from lcm_pipeline.warehouse.lock_waits import watching_for_locks
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.transient_errors import is_transient

ResultT = TypeVar("ResultT")
# Takes the new session and the backend of the lost one, which may still be running on the server.
Renew = Callable[[Session, int], None]

_PAUSES = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
_CANCEL_SECONDS = 5.0


def grant_memory(session: Session) -> None:
    """Raise work_mem for the open transaction, so that large sorts and hashes stay in memory.

    For the few transactions that process millions of rows; readers keep the server's default.
    """
    session.execute("set local work_mem = '128MB'")


def analyze(session: Session, table: str, columns: Sequence[str] | None = None) -> None:
    """Analyze a table of core, mart, refresh or staging, or the ledger; the user need not own it.

    table: with its schema. columns: those that joins need, which is cheaper; None for all.
    """
    values = {"table_name": table, "column_names": None if columns is None else list(columns)}
    session.execute(query("analyze_table"), values)


def backend_of(session: Session) -> int:
    """The server process of a session. Behind a pooler, `info.backend_pid` is another number."""
    row = session.execute("select pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


def run_again_if_lost(work: Callable[[], ResultT]) -> ResultT:
    """Return the result of work that opens its own sessions; a restart of the server repeats it.

    Raises psycopg.Error if the server does not come back within some 15 seconds.
    """
    for pause in _PAUSES:
        try:
            return work()
        except psycopg.errors.LockNotAvailable:
            # It has waited for minutes already.
            raise
        except psycopg.Error as error:
            if not is_transient(error):
                raise
        time.sleep(pause)
    return work()


class ReconnectingSession:
    """One autocommit session, which threads may share: their work runs one at a time."""

    def __init__(self, warehouse: Warehouse, application_name: str) -> None:
        self._warehouse = warehouse
        self._name = application_name
        self._session: Session | None = None
        self._backend = 0
        self._renew: Renew | None = None
        self._lock = threading.Lock()
        self._is_cancelled = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def on_reconnect(self, renew: Renew | None) -> None:
        """Call `renew` first on each session that replaces a lost one; `run` raises its errors."""
        self._renew = renew

    def cancel(self) -> None:
        """Cancel the work of another thread: its statement fails, and is not retried."""
        self._is_cancelled.set()
        session = self._session
        if session is not None and not session.closed:
            with suppress(psycopg.Error):
                session.cancel_safe(timeout=_CANCEL_SECONDS)

    def run(self, work: Callable[[Session], ResultT]) -> ResultT:
        """Run the work and return its result; retries it on a new session after transient errors.

        Raises WarehouseLockedError for a lock timeout whose blockers are known, else psycopg.Error.
        """
        pauses = iter(_PAUSES)
        with self._lock:
            while True:
                with watching_for_locks(self._watch, lambda: self._backend, self._name) as blockers:
                    try:
                        return work(self._open())
                    except psycopg.Error as error:
                        self._close()
                        pause = next(pauses, None)
                        if pause is None or not is_transient(error) or self._is_cancelled.is_set():
                            if isinstance(error, psycopg.errors.LockNotAvailable) and blockers:
                                raise WarehouseLockedError(self._name, blockers[-1]) from error
                            raise
                    except BaseException:
                        self._close_if_busy()
                        raise
                self._is_cancelled.wait(pause)

    def _watch(self) -> Session:
        return self._warehouse.connect(autocommit=True, application_name=f"{self._name} (watch)")

    def _open(self) -> Session:
        if self._session is not None and not self._session.closed:
            return self._session
        session = self._warehouse.connect(autocommit=True, application_name=self._name)
        try:
            # The server cancels a statement whose client is gone, where the platform supports it.
            with suppress(psycopg.errors.InvalidParameterValue):
                session.execute("set client_connection_check_interval = '500ms'")
            # Temporary tables stay in memory, unless an earlier client of a pooler had some.
            with suppress(psycopg.errors.InvalidParameterValue):
                session.execute(query("raise_temp_buffers"))
            if self._renew is not None:
                self._renew(session, self._backend)
            self._backend = backend_of(session)
        except BaseException:
            session.close()
            raise
        self._session = session
        return session

    def _close_if_busy(self) -> None:
        """Close a session that an interrupt left within a statement: the next one would fail."""
        session = self._session
        if session is not None and session.info.transaction_status is not TransactionStatus.IDLE:
            self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None
