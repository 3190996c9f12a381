"""A year of daily runs over a synthetic programme, with the real SQL of the schedule and publish.

The pipeline itself decides which clients are due, in a real Postgres; what a reading finds is
simulated, and stored by the publish's own statement. No request is sent: each row of the ledger
counts as one client read. A run starts each morning at six, for the day before.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import blake2b

import numpy as np

from benchmarks.staleness_population import DAYS, ENDPOINTS, Changes, Floats, Ints, Population
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest import tasks
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.schedule import Schedule
from lcm_pipeline.warehouse.queries import query

FIRST_DAY = date(2025, 1, 1)
_BEFORE = -1
_SIX = 6 / 24

_JUDGED = "create temp table judged (client_id bigint, verdict text) on commit drop"
_PUBLISHING = """
create temp table publishing on commit drop as
select
    client_id, rows, reading, expired, 0 as known_expired, fingerprint, head, header_digest,
    quarantined, read_at
from sync.fetches
with no data
"""


@dataclass
class Year:
    """The results of a year of runs. read, roster: clients read and registered, by day.

    delays: days from each change to the reading that found it. oldest_unseen: age in days, at the
    end, of the oldest change that no reading found. lags: by run, how many days the newest day
    without deferred clients is behind the newest synced day.
    """

    read: dict[str, list[int]] = field(default_factory=dict)
    roster: dict[str, list[int]] = field(default_factory=dict)
    delays: dict[str, Floats] = field(default_factory=dict)
    oldest_unseen: float = 0.0
    lags: list[int] = field(default_factory=list)


def simulate_year(
    warehouse: Warehouse, population: Population, schedule: Schedule, days: int = DAYS
) -> Year:
    """Sync each day of a year, or its first `days`; the warehouse must be empty and migrated."""
    year = Year()
    with warehouse.connect(autocommit=True, application_name="benchmark") as session:
        session.execute("set synchronous_commit = off")
        # Checking the ledger's foreign key would take most of the time and changes no result.
        session.execute("set session_replication_role = replica")
        _register(session, population)
        for endpoint in ENDPOINTS:
            source = _Source(endpoint, population.changes[endpoint], population, days)
            _simulate(session, source, schedule, year)
    return year


@dataclass
class _Source:
    """One endpoint of the source: how often each client's data has changed so far."""

    endpoint: str
    changes: Changes
    population: Population
    days: int
    happened: int = 0
    versions: Ints = field(init=False)
    waiting: Ints = field(init=False)
    delays: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.versions = np.zeros(len(self.population.registered), dtype=np.int64)
        self.waiting = np.zeros(0, dtype=np.int64)
        self.delays = np.full(len(self.changes.moment), np.nan)

    def advance(self, moment: float) -> None:
        """Apply all changes up to a moment."""
        until = int(np.searchsorted(self.changes.moment, moment, side="right"))
        fresh = np.arange(self.happened, until)
        np.add.at(self.versions, self.changes.client[fresh], 1)
        self.waiting = np.concatenate([self.waiting, fresh])
        self.happened = until

    def read(self, clients: Ints, moment: float) -> None:
        """Record which changes a reading of these clients finds, and how old they are."""
        is_read = np.zeros(len(self.versions), dtype=np.bool_)
        is_read[clients] = True
        seen = is_read[self.changes.client[self.waiting]]
        found = self.waiting[seen]
        self.delays[found] = moment - self.changes.moment[found]
        self.waiting = self.waiting[~seen]


def _simulate(session: Session, source: _Source, schedule: Schedule, year: Year) -> None:
    read: list[int] = []
    for day in range(_BEFORE, source.days):
        moment = day + 1 + _SIX
        source.advance(moment)
        with session.transaction():
            clients = _run_of(session, source, schedule, day)
        source.read(clients, moment)
        read.append(len(clients))
        year.lags.append(_lag(session, source.endpoint, day))
    registered, days = source.population.registered, range(source.days)
    # The run before the year reads all clients for the first time.
    year.read[source.endpoint] = read[1:]
    year.roster[source.endpoint] = [int((registered <= day).sum()) for day in days]
    year.delays[source.endpoint] = source.delays[~np.isnan(source.delays)]
    ages = moment - source.changes.moment[source.waiting]
    year.oldest_unseen = max([year.oldest_unseen, *ages.tolist()])


def _run_of(session: Session, source: _Source, schedule: Schedule, day: int) -> Ints:
    """One run: add the tasks, read, store the state; returns the clients that were read."""
    window = Window(_date(day), _date(day))
    run = _begin(session, source.endpoint, window)
    tasks.add_client_tasks(session, run, schedule)
    rows = session.execute("select client_id from sync.fetches where run_id = %s", (run.run_id,))
    clients = np.array([row[0] for row in rows.fetchall()], dtype=np.int64)
    session.execute(_JUDGED)
    session.execute(_PUBLISHING)
    read_at = datetime.combine(_date(day + 1), datetime.min.time())
    with session.cursor().copy(
        "copy publishing (client_id, rows, reading, expired, fingerprint, quarantined, read_at)"
        " from stdin"
    ) as copy:
        for client, version in zip(
            clients.tolist(), source.versions[clients].tolist(), strict=True
        ):
            copy.write_row((client, version, "full", 0, _fingerprint(version), 0, read_at))
    values = {
        "run_id": run.run_id,
        "feed": source.endpoint,
        "first": window.first,
        "last": window.last,
    }
    session.execute("analyze publishing")
    session.execute(query("store_clients"), values)
    session.execute(query("publish_window_days"), values)
    session.execute("delete from sync.fetches where run_id = %s", (run.run_id,))
    return clients


def _begin(session: Session, endpoint: str, window: Window) -> Run:
    row = session.execute(
        "insert into sync.runs (feed, window_from, window_to, status, finished_at)"
        " values (%s, %s, %s, 'published', now()) returning run_id",
        (endpoint, window.first, window.last),
    ).fetchone()
    return Run(int(row[0]) if row else 0, endpoint, window, is_resumed=False)


def _register(session: Session, population: Population) -> None:
    columns = "client_id, registration_date, sync_run_id, first_seen_at, synced_at"
    with session.cursor().copy(f"copy core.clients ({columns}) from stdin".encode()) as copy:
        for client, day in enumerate(population.registered.tolist()):
            copy.write_row((client, _date(day), 0, "2025-01-01", "2025-01-01"))
    session.execute("analyze core.clients")


def _lag(session: Session, endpoint: str, day: int) -> int:
    row = session.execute(
        "select coalesce(%s - min(day) + 1, 0) from sync.day_completeness"
        " where feed = %s and deferred > 0",
        (_date(day), endpoint),
    ).fetchone()
    return int(row[0]) if row else 0


def _date(day: int) -> date:
    return FIRST_DAY + timedelta(days=day)


def _fingerprint(version: int) -> bytes:
    return blake2b(str(version).encode(), digest_size=16).digest()
