"""What clients asked for: leads and their state."""

import dagster as dg

from lcm_pipeline.orchestration.assets.clients import clients
from lcm_pipeline.orchestration.metadata import described
from lcm_pipeline.orchestration.partitions import DAYS, FRESH_BY_MORNING, ONE_RUN, window_of
from lcm_pipeline.orchestration.planned_feeds import planned_feeds
from lcm_pipeline.orchestration.resources import POOL, SyncSession
from lcm_pipeline.sync.feeds import LEADS


@dg.asset(
    deps=[clients],
    group_name="facts",
    kinds={"http", "postgres"},
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    freshness_policy=FRESH_BY_MORNING,
    pool=POOL,
    op_tags={"dagster/priority": "-1"},
)
def leads(
    context: dg.AssetExecutionContext, sync: dg.ResourceParam[SyncSession]
) -> dg.MaterializeResult[None]:
    """One row per lead created on the day, from LeadsPagingInfo.

    Fills `core.leads`; a lead that changes later is changed in its own day. A day is complete when
    every client registered by its end was read after it had ended and the reading was proven.
    """
    report = sync.sync_clients(LEADS, window_of(context), planned_feeds(context))
    return described(sync, report, "leads")
