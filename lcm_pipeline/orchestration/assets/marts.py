"""The marts: tables and views for BI, built on the facts.

A mart is defined in sql/marts: its header becomes the description, and what it reads its lineage.
Marts that the same feeds can block form one step, so that totals that do not add up block the marts
built on them and no others. Tables that follow changes are refreshed together. A blocked mart keeps
its previous rows, and `mart.data_completeness` is blocked with it, so that the two agree.

Another run may publish between two steps. So a step also refreshes the marts that fewer feeds can
block: no mart is newer than those that it reads, and no table that follows changes is newer than
its readers.
"""

from collections.abc import Collection, Iterator
from typing import Any

import dagster as dg

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.orchestration.checks.feeds import step_name
from lcm_pipeline.orchestration.partitions import ONE_RUN
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.verify import reconcile
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.marts.definitions import RUN_VIEWS, Mart, marts
from lcm_pipeline.warehouse.marts.install import definitions_differ
from lcm_pipeline.warehouse.marts.refresh import refresh_marts_in

# By table of core that marts read, the asset that fills it.
_FACTS = {
    table: asset
    for feed in FEEDS
    for asset in feed.assets
    for table in (asset, feed.table_of(asset))
}
# The view of the rows of all feeds.
_ALL_FEEDS = "feed_rows"
# Dagster takes the partitions of a run from the asset whose step name sorts last. If that were a
# feed, Dagster would record each day of a range for each mart, although marts have no partitions.
_STEP_NAME = "refreshed_marts_of_{}"
_FEED_OF = {asset: feed.name for feed in FEEDS for asset in feed.assets}


def _facts(mart: Mart) -> set[str]:
    """The assets that fill what a mart reads."""
    if _ALL_FEEDS in mart.tables:
        return {feed.checked_asset for feed in FEEDS if feed.has_marts}
    return {_FACTS[table] for table in mart.tables if table in _FACTS}


def _key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["mart", name])


def _spec(mart: Mart, by_name: dict[str, Mart]) -> dg.AssetSpec:
    facts = map(dg.AssetKey, _facts(mart))
    return dg.AssetSpec(
        _key(mart.name),
        deps=sorted({*facts, *(_key(name) for name in mart.reads if name in by_name)}),
        description=f"{mart.question}\n\nGrain: {mart.grain}.\n\n{mart.formula}",
        group_name="marts",
        kinds={"postgres", mart.kind.replace(" ", "_")},
    )


def _step(
    feeds: frozenset[str], step_marts: list[Mart], refreshed: set[str], by_name: dict[str, Mart]
) -> dg.AssetsDefinition:
    """The step of the marts that the same feeds can block.

    feeds: their names. refreshed: the names of all marts to refresh in it, also those that fewer
    feeds can block.
    """

    @dg.multi_asset(
        name=_STEP_NAME.format("_".join(sorted(feeds)) or "no_feed"),
        specs=[_spec(mart, by_name) for mart in step_marts],
        # They have no days, but `dagster asset materialize --partition-range` takes only assets
        # with this policy.
        backfill_policy=ONE_RUN,
    )
    def refresh(
        context: dg.AssetExecutionContext, sync: dg.ResourceParam[SyncResource]
    ) -> Iterator[dg.MaterializeResult[None]]:
        if sync.session.run(definitions_differ):
            raise dg.Failure(
                "The marts are those of an older version and were left as they are: lcm migrate"
                " names the views that depend on them",
                allow_retries=False,
            )
        _require_totals(context, sync, feeds)
        refreshes = {mart.name: mart for mart in refresh_marts_in(sync.session, refreshed)}
        for mart in step_marts:
            columns = [
                dg.TableColumn(column.column, column.type, column.comment)
                for column in sync.described
                if (column.schema, column.table) == ("mart", mart.name)
            ]
            metadata: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(columns)}
            # Plain views are not refreshed.
            if done := refreshes.get(mart.name):
                metadata |= {
                    "up to date already": done.is_skipped,
                    "rows": done.rows,
                    "seconds": round(done.seconds, 2),
                }
            yield dg.MaterializeResult(asset_key=_key(mart.name), metadata=metadata)

    return refresh


def _require_totals(
    context: dg.AssetExecutionContext, sync: SyncResource, feeds: Collection[str]
) -> None:
    """Raise dg.Failure unless the totals of the facts below a mart agree.

    Dagster blocks a mart only by a check of the same run, and a backfill refreshes the marts in a
    run of their own. So totals that this run does not check are compared here.

    feeds: their names.
    """
    nodes = context.job_def.graph.node_dict
    unchecked = [
        feed
        for feed in FEEDS
        if feed.name in feeds and not feed.is_by_day and step_name(feed) not in nodes
    ]

    def compare(session: Session) -> list[str]:
        return [
            f"{feed.name}: totals differ for {count}"
            for feed in unchecked
            if (count := reconcile.totals_differing(session, feed).total)
        ]

    if unchecked and (differing := sync.session.run(compare)):
        raise dg.Failure(
            f"{'; '.join(differing)}. The marts that are built on them keep their rows; lcm marts"
            " refreshes them nevertheless",
            allow_retries=False,
        )


def _steps() -> list[dg.AssetsDefinition]:
    by_name = {mart.name: mart for mart in marts() if mart.name not in RUN_VIEWS}
    blocking = _blocking_feeds(by_name)
    steps: dict[frozenset[str], list[Mart]] = {}
    for mart in by_name.values():
        steps.setdefault(blocking[mart.name], []).append(mart)
    return [
        _step(feeds, step_marts, {name for name, by in blocking.items() if by <= feeds}, by_name)
        for feeds, step_marts in steps.items()
    ]


def _blocking_feeds(by_name: dict[str, Mart]) -> dict[str, frozenset[str]]:
    """By mart, the feeds whose totals must agree before it is refreshed: those that it is built on.

    Unlike in `sources_below`, a table of the schema sync adds no feed. Tables that follow changes
    are refreshed together, so what blocks one of those by client blocks all.
    """
    below: dict[str, frozenset[str]] = {}
    for mart in by_name.values():
        feeds = frozenset(_FEED_OF[fact] for fact in _facts(mart))
        below[mart.name] = feeds.union(*(below[name] for name in mart.reads if name in below))
    by_client = (mart.name for mart in by_name.values() if mart.refreshed_by in ("client", "sums"))
    together = frozenset[str]().union(*(below[name] for name in by_client))
    blocking: dict[str, frozenset[str]] = {}
    for mart in by_name.values():
        feeds = below[mart.name] | together if mart.follows_changes else below[mart.name]
        blocking[mart.name] = feeds.union(
            *(blocking[name] for name in mart.reads if name in blocking)
        )
    return blocking


MARTS = _steps()
