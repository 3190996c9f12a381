"""The roster: who is in the programme."""

import dagster as dg

from lcm_pipeline.orchestration.metadata import described
from lcm_pipeline.orchestration.partitions import DAYS, FRESH_BY_MORNING, ONE_RUN, window_of
from lcm_pipeline.orchestration.planned_feeds import planned_feeds
from lcm_pipeline.orchestration.resources import POOL, SyncSession


@dg.asset(
    group_name="roster",
    kinds={"http", "postgres"},
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    freshness_policy=FRESH_BY_MORNING,
    pool=POOL,
)
def clients(
    context: dg.AssetExecutionContext, sync: dg.ResourceParam[SyncSession]
) -> dg.MaterializeResult[None]:
    """One row per client who registered on the day, from ClientInfoPeriod.

    Fills `core.registrations`, `core.clients`, `core.cards` and `core.points_of_sale`. A day is
    done when it was polled after it had ended; days before it that were never polled are polled
    too, since the other assets read every client registered by the end of their day.
    """
    report = sync.sync_registrations(window_of(context), planned_feeds(context))
    return described(sync, report, "registrations")
