"""The plan of a Dagster run: which feeds have a step in it, and where the steps execute.

Client feeds whose steps execute in one process are read concurrently, see `sync.concurrency`. Where
each step has a process of its own, a step must not begin the work of another one, so each reads its
feed alone.
"""

from dataclasses import dataclass

import dagster as dg

from lcm_pipeline.feeds import FEEDS, Feed

_IN_ONE_PROCESS = ("in_process", "execute_in_process_executor")


@dataclass(frozen=True)
class Plan:
    """The feeds of a run, in the order of their reading, and whether one process syncs them all."""

    feeds: tuple[Feed, ...]
    is_in_one_process: bool

    @property
    def concurrent(self) -> list[Feed]:
        """The client feeds that this process reads concurrently."""
        return [feed for feed in self.feeds if not feed.is_by_day] if self.is_in_one_process else []


def plan_of(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Plan:
    """The plan of the run that a step belongs to; the same for each of its steps."""
    nodes = context.job_def.graph.node_dict
    selected = context.run.asset_selection
    feeds = [
        feed
        for feed in FEEDS
        if feed.step in nodes
        and (selected is None or any(dg.AssetKey(name) in selected for name in feed.assets))
    ]
    return Plan(tuple(feeds), context.job_def.executor_def.name in _IN_ONE_PROCESS)
