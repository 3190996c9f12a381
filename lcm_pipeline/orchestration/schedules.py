"""The schedules: yesterday's sync, and housekeeping. They need a running Dagster daemon.

The sync is off until it is turned on: a fresh checkout must not start to call the API of a loyalty
programme just because its UI was opened.
"""

from datetime import timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from lcm_pipeline.orchestration.jobs import delete_old_runs, sync_days
from lcm_pipeline.orchestration.outages import WAITS_TAG
from lcm_pipeline.orchestration.partitions import DAYS
from lcm_pipeline.orchestration.times import SYNC_HOUR

# A failed run is retried twice, since no operator is at work so early. All steps are retried, as
# the feeds are read concurrently; feeds that were published are not read again, even if all were.
UNATTENDED = {
    WAITS_TAG: "true",
    "dagster/max_retries": "2",
    "dagster/retry_on_asset_or_op_failure": "true",
    "dagster/retry_strategy": "ALL_STEPS",
}


@dg.schedule(
    job=sync_days,
    cron_schedule=f"0 {SYNC_HOUR} * * *",
    execution_timezone=DAYS.timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description=f"Every day at {SYNC_HOUR:02}:00 {DAYS.timezone}: sync the day that has just"
    " ended.",
)
def sync_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Sync the day before the tick, also when the tick is late."""
    tick = context.scheduled_execution_time.astimezone(ZoneInfo(DAYS.timezone))
    return dg.RunRequest(partition_key=str(tick.date() - timedelta(days=1)), tags=UNATTENDED)


delete_old_runs_nightly = dg.ScheduleDefinition(
    name="delete_old_runs_nightly",
    job=delete_old_runs,
    cron_schedule="30 4 * * *",
    execution_timezone=DAYS.timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: delete old runs, so that Dagster's storage stays bounded.",
)

SCHEDULES = [sync_yesterday, delete_old_runs_nightly]
