"""Favourite products: one reading fills four tables."""

from collections.abc import Iterator

import dagster as dg

from lcm_pipeline.orchestration.assets.clients import clients
from lcm_pipeline.orchestration.metadata import described
from lcm_pipeline.orchestration.partitions import DAYS, FRESH_BY_MORNING, ONE_RUN, window_of
from lcm_pipeline.orchestration.planned_feeds import planned_feeds
from lcm_pipeline.orchestration.resources import POOL, SyncSession
from lcm_pipeline.sync.feeds import FAVOURITES

_TABLES = {
    "favourite_offers": "One row per offer made on the day, in `core.favourite_offers`.",
    "favourite_goods": "One row per good of an offer, in `core.favourite_goods`; they have no day "
    "of their own, and a day brings those of the offers that are new or changed.",
    "favourite_groups": "One row per client and group of goods, in `core.favourite_groups`: how "
    "often it was chosen, as of the last reading.",
    "favourite_stats": "One row per client in `core.favourite_stats`, with the header's twelve "
    "all-time numbers, on the last day of the run if they changed by then.",
}
_SOURCE = (
    " From ClientFavoriteDataInfo. A day is complete when every client registered by its end was "
    "read after it had ended and the reading was proven."
)


def _spec(table: str, text: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        table,
        deps=[clients],
        description=text + _SOURCE,
        group_name="favourites",
        kinds={"http", "postgres"},
        freshness_policy=FRESH_BY_MORNING,
    )


@dg.multi_asset(
    specs=[_spec(table, text) for table, text in _TABLES.items()],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    pool=POOL,
    op_tags={"dagster/priority": "-2"},
)
def favourites(
    context: dg.AssetExecutionContext, sync: dg.ResourceParam[SyncSession]
) -> Iterator[dg.MaterializeResult[None]]:
    """One reading of ClientFavoriteDataInfo for the four tables."""
    report = sync.sync_clients(FAVOURITES, window_of(context), planned_feeds(context))
    yield from (described(sync, report, table) for table in _TABLES)
