"""The assets of the feeds: one step a feed, made from the registry in `lcm_pipeline.feeds`."""

from collections.abc import Iterator

import dagster as dg

from lcm_pipeline.feeds import CLIENT_FEEDS, REGISTRATIONS, Feed
from lcm_pipeline.orchestration.metadata import described
from lcm_pipeline.orchestration.partitions import DAYS, FRESH_BY_MORNING, ONE_RUN, window_of
from lcm_pipeline.orchestration.planned_feeds import planned_feeds
from lcm_pipeline.orchestration.resources import POOL, SyncSession

_COMPLETE = (
    "\n\nA day is complete when every client registered by its end was read after it had ended and"
    " the reading was proven."
)


def _build(feed: Feed, priority: int) -> dg.AssetsDefinition:
    """The step of a feed. priority: Dagster starts the step with the higher one first."""
    roster = [] if feed.is_by_day else [dg.AssetKey(name) for name in REGISTRATIONS.assets]
    specs = [
        dg.AssetSpec(
            name,
            deps=roster,
            description=text if feed.is_by_day else text + _COMPLETE,
            group_name=feed.asset_group,
            kinds={"http", "postgres"},
            freshness_policy=FRESH_BY_MORNING,
        )
        for name, text in feed.assets.items()
    ]

    @dg.multi_asset(
        # The step is named after its asset; favourites have four.
        name=feed.step,
        specs=specs,
        partitions_def=DAYS,
        backfill_policy=ONE_RUN,
        pool=POOL,
        op_tags={"dagster/priority": str(priority)},
    )
    def sync_feed(
        context: dg.AssetExecutionContext, sync: dg.ResourceParam[SyncSession]
    ) -> Iterator[dg.MaterializeResult[None]]:
        report = sync.sync_feed(feed, window_of(context), planned_feeds(context))
        yield from (described(sync, report, asset) for asset in feed.assets)

    return sync_feed


FEED_ASSETS = [
    _build(REGISTRATIONS, priority=len(CLIENT_FEEDS)),
    *(_build(feed, priority=-position) for position, feed in enumerate(CLIENT_FEEDS)),
]
