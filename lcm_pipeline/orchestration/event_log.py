"""Dagster's event log in SQLite, made fast for ranges of days.

A range creates two events per day and asset. Dagster passes them in batches, but its own SQLite log
stores them one by one, with three commits each, and each commit opens the file, syncs the disk and
closes the file: 47 seconds for a year of days, 3 with this class. Postgres storage does not need
it. The files are the same: either class reads what the other one wrote.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from threading import Lock
from typing import Any

import sqlalchemy as sa
from dagster import DagsterEventType, EventLogEntry

from lcm_pipeline.orchestration.dagster_internals import (
    INDEX_SHARD_NAME,
    SQLITE_BUSY_TIMEOUT_SECONDS,
    ConfigurableClassData,
    SqliteEventLogStorage,
)

_BATCHED = (
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
)

_MAX_OPEN_FILES = 8


class BatchingEventLog(SqliteEventLogStorage):
    """SqliteEventLogStorage that stores a batch of events at once and keeps its files open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, sa.Engine] = {}
        self._engines_lock = Lock()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchingEventLog":
        """Called by Dagster; the inherited method would build the base class."""
        return cls(inst_data=inst_data, **config_value)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[sa.Connection]:
        """A transaction on the file of a run."""
        return self._transaction(str(run_id))

    def index_connection(self) -> AbstractContextManager[sa.Connection]:
        """A transaction on the file of all runs."""
        return self._transaction(INDEX_SHARD_NAME)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events; those of a day of an asset together, the others one by one."""
        kinds = groupby(events, lambda event: (event.dagster_event_type in _BATCHED, event.run_id))
        for (is_batched, run_id), group in kinds:
            if is_batched:
                self._store_together(run_id, list(group))
            else:
                super().store_event_batch(list(group))

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        with self._engines_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    def _store_together(self, run_id: str, events: list[EventLogEntry]) -> None:
        insert = self.prepare_insert_event_batch(events)
        with self.run_connection(run_id) as connection:
            connection.execute(insert)
        with self.index_connection() as connection:
            ids = connection.scalars(insert.returning(insert.table.c.id)).all()
        self.store_asset_event_tags(events, ids)
        newest = {event.get_dagster_event().asset_key: at for at, event in enumerate(events)}
        for at in newest.values():
            self.store_asset_event(events[at], ids[at])

    @contextmanager
    def _transaction(self, shard: str) -> Iterator[sa.Connection]:
        if shard not in self._initialized_dbs:
            with super()._connect(shard):
                pass  # connecting creates the tables
        with self._engines_lock:
            engine = self._engines.pop(shard, None) or _create_engine(
                self.conn_string_for_shard(shard)
            )
            self._engines[shard] = engine
            if len(self._engines) > _MAX_OPEN_FILES:
                self._engines.pop(next(iter(self._engines))).dispose()
        with engine.begin() as connection:
            yield connection


def _create_engine(address: str) -> sa.Engine:
    engine = sa.create_engine(address, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # A crash of the machine may lose the last events, but never corrupts the file.
        connection.execute("pragma synchronous = normal")
        # The journal of a batch would be a file in /tmp, where there may be no room.
        connection.execute("pragma temp_store = memory")

    return engine
