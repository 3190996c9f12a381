"""All definitions that Dagster loads."""

import dagster as dg

from lcm_pipeline.orchestration.assets.feeds import FEED_ASSETS
from lcm_pipeline.orchestration.assets.marts import MARTS
from lcm_pipeline.orchestration.assets.profile_updates import profile_updates
from lcm_pipeline.orchestration.checks.results import CHECKS
from lcm_pipeline.orchestration.executors import executor_of
from lcm_pipeline.orchestration.jobs import JOBS, sync_days
from lcm_pipeline.orchestration.resources import SyncResource, sync_resource
from lcm_pipeline.orchestration.schedules import SCHEDULES
from lcm_pipeline.orchestration.sensors import SENSORS
from lcm_pipeline.settings import load_settings


def build_definitions(
    sync: SyncResource | dg.ResourceDefinition = sync_resource,
) -> dg.Definitions:
    """The code location.

    sync: an open session, for a run in the calling process.
    """
    return dg.Definitions(
        assets=[*FEED_ASSETS, *MARTS, profile_updates],
        asset_checks=CHECKS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={"sync": sync},
        executor=executor_of(load_settings()),
    )


def sync_days_job() -> dg.JobDefinition:
    """The job that `lcm sync` runs, for executors whose processes load it by this name."""
    return build_definitions().resolve_job_def(sync_days.name)
