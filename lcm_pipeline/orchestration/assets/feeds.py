"""The assets of the feeds, made from the registry in `lcm_pipeline.feeds`.

With one reader a feed is one step. With several, a client feed is a graph of steps: start, the
readers in parallel, publish. The steps pass no data to each other: all state is in the warehouse.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from lcm_pipeline.feeds import CLIENT_FEEDS, FEEDS, REGISTRATIONS, Feed
from lcm_pipeline.orchestration.metadata import feed_metadata, reader_metadata
from lcm_pipeline.orchestration.outages import retry_while_unavailable
from lcm_pipeline.orchestration.partitions import DAYS, FRESH_BY_MORNING, ONE_RUN, window_of
from lcm_pipeline.orchestration.resources import POOL, RunSelection, SyncResource
from lcm_pipeline.settings import load_settings

_COMPLETE = (
    "\n\nA day is complete when every client registered by its end was read after it had ended and"
    " the reading was proven."
)
_ROSTER = [dg.AssetKey(name) for name in REGISTRATIONS.assets]


def feed_assets(readers: int) -> list[dg.AssetsDefinition]:
    """The assets of all feeds, for runs with `readers` readers."""
    return [
        _build_graph(feed, readers) if readers > 1 and not feed.is_by_day else _build_step(feed)
        for feed in FEEDS
    ]


def _specs(feed: Feed) -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            name,
            deps=[] if feed.is_by_day else _ROSTER,
            description=text if feed.is_by_day else text + _COMPLETE,
            group_name=feed.asset_group,
            kinds={"http", "postgres"},
            freshness_policy=FRESH_BY_MORNING,
        )
        for name, text in feed.assets.items()
    ]


def _op_tags(feed: Feed) -> dict[str, str]:
    # Dagster starts the step with the higher priority first: the roster, then checks and marts that
    # are due, which have 0, as a client feed is still being read when its step begins.
    position = CLIENT_FEEDS.index(feed) if feed in CLIENT_FEEDS else -len(CLIENT_FEEDS)
    # Celery's queue too, on RabbitMQ; on Redis 3 to 5 are one queue, in the order of submission.
    # All other steps have 5.
    in_queue = min(5, max(3, 5 - position))
    return {"dagster/priority": str(-1 - position), "dagster-celery/priority": str(in_queue)}


def _build_step(feed: Feed) -> dg.AssetsDefinition:
    """One step that starts, reads and publishes."""

    @dg.multi_asset(
        # The step is named after its asset; favourites have four.
        name=feed.step,
        specs=_specs(feed),
        partitions_def=DAYS,
        backfill_policy=ONE_RUN,
        pool=POOL,
        op_tags=_op_tags(feed),
    )
    def sync_feed(
        context: dg.AssetExecutionContext, sync: dg.ResourceParam[SyncResource]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with retry_while_unavailable(context):
            report = sync.sync_feed(feed, window_of(context), RunSelection.from_context(context))
        for asset in feed.assets:
            yield dg.MaterializeResult(asset_key=asset, metadata=feed_metadata(sync, report, asset))

    return sync_feed


def _build_graph(feed: Feed, readers: int) -> dg.AssetsDefinition:
    """Steps for a run with several readers, each visible in the run's timeline."""
    start = _start_op(feed)
    read_ops = {f"read_{number}": _read_op(feed, number) for number in range(1, readers + 1)}
    publish = _publish_op(feed, tuple(read_ops))

    @dg.graph(
        name=feed.step,
        ins={"roster": dg.GraphIn()},
        out={asset: dg.GraphOut() for asset in feed.assets},
    )
    def sync_feed(roster):  # type: ignore[no-untyped-def] # a handle of Dagster's composition
        started = start(roster)
        published = publish(**{name: read(started) for name, read in read_ops.items()})
        if len(feed.assets) == 1:
            return {next(iter(feed.assets)): published}
        return {asset: getattr(published, asset) for asset in feed.assets}

    definition = dg.AssetsDefinition.from_graph(
        sync_feed,
        keys_by_input_name={"roster": _ROSTER[0]},
        keys_by_output_name={asset: dg.AssetKey(asset) for asset in feed.assets},
        partitions_def=DAYS,
        backfill_policy=ONE_RUN,
    )
    specs = {spec.key: spec for spec in _specs(feed)}

    def with_attributes(spec: dg.AssetSpec) -> dg.AssetSpec:
        """Set the attributes that a graph does not take from a spec."""
        return spec.replace_attributes(
            description=specs[spec.key].description,
            group_name=specs[spec.key].group_name,
            kinds=specs[spec.key].kinds,
            freshness_policy=specs[spec.key].freshness_policy,
        )

    return definition.map_asset_specs(with_attributes)


def _start_op(feed: Feed) -> dg.OpDefinition:
    @dg.op(
        name=f"{feed.name}_start",
        ins={"roster": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        pool=POOL,
        tags=_op_tags(feed),
        description="Adds the clients to read to the ledger, and probes how the endpoint pages.",
    )
    def start(context: dg.OpExecutionContext, sync: dg.ResourceParam[SyncResource]) -> None:
        with retry_while_unavailable(context):
            sync.start_feed(feed, window_of(context), RunSelection.from_context(context))

    return start


def _read_op(feed: Feed, number: int) -> dg.OpDefinition:
    @dg.op(
        name=f"{feed.name}_read_{number}",
        ins={"started": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        pool=POOL,
        tags=_op_tags(feed),
        description="Reads clients that no other reader has, and stages their rows.",
        # The others have read the clients of a reader that was killed, as for lack of memory:
        # without another attempt of its step nothing would be published.
        retry_policy=dg.RetryPolicy(max_retries=1),
    )
    def read(context: dg.OpExecutionContext, sync: dg.ResourceParam[SyncResource]) -> None:
        try:
            with retry_while_unavailable(context):
                if context.retry_number:
                    # Reopens the clients that failed before an outage was recognized.
                    sync.start_feed(feed, window_of(context), RunSelection.from_context(context))
                report = sync.read_feed(feed, window_of(context))
        except dg.RetryRequested:
            raise
        except Exception as error:
            # Its own errors come after all attempts that make sense.
            raise dg.Failure(f"{feed.name}: reading failed", allow_retries=False) from error
        context.add_output_metadata(reader_metadata(report))

    return read


def _publish_op(feed: Feed, read_inputs: Sequence[str]) -> dg.OpDefinition:
    @dg.op(
        name=f"{feed.name}_publish",
        ins=dict.fromkeys(read_inputs, dg.In(dg.Nothing)),
        out={asset: dg.Out(dg.Nothing) for asset in feed.assets},
        pool=POOL,
        tags=_op_tags(feed),
        description="Publishes what the readers have proven, in one transaction.",
    )
    def publish(
        context: dg.OpExecutionContext, sync: dg.ResourceParam[SyncResource]
    ) -> Iterator[dg.Output[None]]:
        with retry_while_unavailable(context):
            report = sync.publish_feed(feed, window_of(context), RunSelection.from_context(context))
        for asset in feed.assets:
            yield dg.Output(None, asset, metadata=feed_metadata(sync, report, asset))

    return publish


FEED_ASSETS = feed_assets(load_settings().readers)
