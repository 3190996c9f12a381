"""What clients did: purchases, bonuses, refunds."""

import dagster as dg

from lcm_pipeline.orchestration.assets.clients import clients
from lcm_pipeline.orchestration.metadata import described
from lcm_pipeline.orchestration.partitions import DAYS, FRESH_BY_MORNING, ONE_RUN, window_of
from lcm_pipeline.orchestration.planned_feeds import planned_feeds
from lcm_pipeline.orchestration.resources import POOL, SyncSession
from lcm_pipeline.sync.feeds import OPERATIONS


@dg.asset(
    deps=[clients],
    group_name="facts",
    kinds={"http", "postgres"},
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    freshness_policy=FRESH_BY_MORNING,
    pool=POOL,
    op_tags={"dagster/priority": "2"},
)
def operations(
    context: dg.AssetExecutionContext, sync: dg.ResourceParam[SyncSession]
) -> dg.MaterializeResult[None]:
    """One row per component of an operation of the day, from OperationHistory.

    Fills `core.operations`, and the phones of `core.clients`. A day is complete when every client
    registered by its end was read after it had ended and the reading was proven. A range of days
    costs one reading, as the endpoint gives a client's whole history.
    """
    report = sync.sync_clients(OPERATIONS, window_of(context), planned_feeds(context))
    return described(sync, report, "operations")
