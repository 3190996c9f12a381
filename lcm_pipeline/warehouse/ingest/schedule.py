"""Which clients of the roster a run asks: everyone, or with a promised staleness those who are due.

The decision itself is the statement schedule_clients, and hangs on business days alone: neither
the hour of a run nor the clock of a machine changes who is due.
"""

from dataclasses import dataclass

import psycopg

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.queries import query

# A client that has been quiet for so many days may be asked one day less often, and so on: see
# docs/adaptive_schedule.md for what other values would save and cost.
QUIET_DAYS = 7


@dataclass(frozen=True)
class Schedule:
    """How often clients are asked. audit_share: of the roster, read in full each day.

    max_staleness: days after which a change is seen at the latest, when one sync a day runs; with
    0 or 1 everyone is due in each run. quiet_days: days of quiet for each day that a client waits.
    """

    audit_share: float
    max_staleness: int = 0
    quiet_days: int = QUIET_DAYS


def schedule_clients(
    session: psycopg.Connection, feed: str, window: Window, schedule: Schedule
) -> None:
    """Make the temporary table `scheduled`; it goes with the transaction that it is made in."""
    values = {
        "feed": feed,
        "first": window.first,
        "last": window.last,
        "audit_share": schedule.audit_share,
        "max_staleness": schedule.max_staleness,
        "quiet_days": schedule.quiet_days,
    }
    session.execute(query("schedule_clients"), values)
