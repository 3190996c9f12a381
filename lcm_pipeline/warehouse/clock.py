"""The clock of the warehouse, which all machines share, compared with ours."""

import logging
from datetime import UTC, datetime

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import fetch_value

logger = logging.getLogger(__name__)

MAX_CLOCK_SECONDS = 300


def warn_of_other_clock(warehouse: Warehouse) -> None:
    """Log a warning if the clocks of this machine and of the warehouse differ by minutes.

    Readings are stamped with our clock, and which one of two machines is newer is decided by that.
    """
    with warehouse.connect(autocommit=True, application_name="lcm clock") as session:
        now = fetch_value(session, "clock_of_server")
    assert isinstance(now, datetime)  # noqa: S101 - the query returns one row
    ahead = (now - datetime.now(UTC)).total_seconds()
    if abs(ahead) >= MAX_CLOCK_SECONDS:
        logger.warning(
            "the clock of the warehouse %s is %s: days end by the clock, so synchronize both with"
            " NTP",
            warehouse.location,
            describe_difference(ahead),
        )


def describe_difference(ahead: float) -> str:
    """Describe by how many seconds a clock is ahead of ours."""
    direction = "ahead of" if ahead > 0 else "behind"
    return f"{abs(ahead):,.0f} s {direction} this machine's"
