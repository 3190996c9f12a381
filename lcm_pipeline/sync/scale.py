"""What a programme of any size costs: the arithmetic of docs/scaling.md, without any request.

The model counts what the engine does, with the measured sizes below; a test compares it with a
run.
"""

from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from lcm_pipeline.feeds import CLIENT_FEEDS
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.shared_pace import PACE_SHARE

# Requests a second that one process sends at best, against an ordinary server on the same machine.
_PROCESS_RPS = 800.0
# Requests in which the first run of an endpoint probes how it pages, on a client of one page.
_PROBES = 7
# Rows of a client besides the operations: client, registration, card; lead; the numbers of the
# favourites, an offer and its two goods.
_ROWS_ONCE = 3 + 1 + 1 + 1 + 2
# Bytes on disk including indexes, in Postgres 18: of an operation in core, of the other rows of a
# client in core and sync, and of the stored marts per operation and per client.
_OPERATION_BYTES = 300
_CLIENT_BYTES = 2_700
_MART_OPERATION_BYTES = 470
_MART_CLIENT_BYTES = 1_200
# A task in the ledger of a run, which is deleted a week later.
_TASK_BYTES = 475


@dataclass(frozen=True)
class ProgrammeSize:
    """A size. operations: of a client, from the beginning. days: since then.

    active_share: of the clients, those with a new operation on a day. latency: of the API, in
    seconds.
    """

    clients: int
    operations: float = 15.0
    active_share: float = 0.01
    days: int = 365
    latency: float = 0.2


@dataclass(frozen=True)
class SyncCost:
    """One sync. rows: those written to core; disk: bytes that it adds."""

    requests: int
    rows: int
    disk: int
    time: timedelta


@dataclass(frozen=True)
class ScalePlan:
    """A programme at a rate. readers: needed for that rate at LCM_CONCURRENCY readings each."""

    first: SyncCost
    daily: SyncCost
    readers: int
    in_flight: int


def plan_scale(programme: ProgrammeSize, rps: float, settings: Settings) -> ScalePlan:
    """Compute the first load and a quiet day's sync with LCM_MAX_RPS=`rps`.

    Assumes no LCM_MAX_STALENESS_DAYS, which saves much of the daily sync.
    """
    clients = programme.clients
    pages = max(1, ceil(programme.operations / settings.page_length))
    feeds = len(CLIENT_FEEDS)
    first = programme.days + clients * (feeds - 1 + pages) + _PROBES
    operations = round(clients * programme.operations)
    first_disk = (
        operations * (_OPERATION_BYTES + _MART_OPERATION_BYTES)
        + clients * (_CLIENT_BYTES + _MART_CLIENT_BYTES)
        + (clients * feeds + programme.days) * _TASK_BYTES
    )
    # A quiet client costs a request for each feed; a share of the long histories is read in full.
    audited = round(clients * settings.audit_share * (pages - 1))
    daily = 1 + settings.lookback_days + clients * feeds + audited
    new = round(clients * programme.active_share)
    new_disk = new * (_OPERATION_BYTES + _MART_OPERATION_BYTES) + daily * _TASK_BYTES
    per_second = rps * PACE_SHARE
    per_reader = min(_PROCESS_RPS, settings.concurrency / programme.latency)
    return ScalePlan(
        first=SyncCost(
            first,
            operations + clients * _ROWS_ONCE,
            first_disk,
            timedelta(seconds=first / per_second),
        ),
        daily=SyncCost(daily, new, new_disk, timedelta(seconds=daily / per_second)),
        readers=ceil(rps / per_reader),
        in_flight=ceil(rps * programme.latency),
    )
