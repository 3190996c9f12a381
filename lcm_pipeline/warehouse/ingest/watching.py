"""What the processes that work on a command do, for whoever waits for it."""

from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import psycopg

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import fetch_rows


class RunProgress(NamedTuple):
    """How far a run is: its tasks, those that were read, and those whose reading failed."""

    feed: str
    tasks: int
    read: int
    failed: int


def progress_of_command(warehouse: Warehouse, command_id: int) -> list[RunProgress]:
    """How far each run of a command is; empty while the warehouse is unreachable."""
    with (
        suppress(psycopg.Error),
        warehouse.connect(autocommit=True, application_name="lcm progress") as session,
    ):
        return fetch_rows(session, RunProgress, "progress_of_command", {"command_id": command_id})
    return []


class SilentReader(NamedTuple):
    """A process that works on a run, and has not been heard from. since: with time zone.

    pid: its server process. address: where it is. It may wait for the service, or be stopped.
    """

    feed: str
    pid: int
    address: str
    since: datetime


def silent_readers(warehouse: Warehouse, command_id: int, seconds: float) -> list[SilentReader]:
    """The readers of a command that the warehouse has not heard from for some seconds.

    Empty while the warehouse is unreachable.
    """
    values = {"command_id": command_id, "seconds": seconds}
    with (
        suppress(psycopg.Error),
        warehouse.connect(autocommit=True, application_name="lcm progress") as session,
    ):
        return fetch_rows(session, SilentReader, "silent_readers", values)
    return []
