"""Which clients of the roster a run reads: all of them, or with a maximum staleness those due.

The statement schedule_clients decides. It depends only on business days: neither the hour of a run
nor the clock of a machine changes which clients are due.
"""

from dataclasses import dataclass

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import query

# For each such period without a change, a client is read one day less often. See
# docs/adaptive_schedule.md for what other values would save and cost.
QUIET_DAYS = 7


@dataclass(frozen=True)
class Schedule:
    """How often clients are read. audit_share: the share of the roster read in full each day.

    max_staleness: days after which a change is seen at the latest, with one sync a day; with 0 or 1
    all clients are due in each run. quiet_days: days without a change per day that a client waits.
    """

    audit_share: float
    max_staleness: int = 0
    quiet_days: int = QUIET_DAYS


def schedule_clients(session: Session, feed: str, window: Window, schedule: Schedule) -> None:
    """Create the temporary table `scheduled`, which is dropped at the end of the transaction."""
    values = {
        "feed": feed,
        "first": window.first,
        "last": window.last,
        "audit_share": schedule.audit_share,
        "max_staleness": schedule.max_staleness,
        "quiet_days": schedule.quiet_days,
    }
    session.execute(query("schedule_clients"), values)
