"""What a run is going to do: which feeds of clients have a step in it.

They are read together, see `sync.concurrency`. Where each step runs in a process
of its own, none may begin what another one will do, so there each reads its feed alone.
"""

import dagster as dg

from lcm_pipeline.feeds import CLIENT_FEEDS, Feed

_IN_ONE_PROCESS = ("in_process", "execute_in_process_executor")


def planned_feeds(context: dg.AssetExecutionContext) -> list[Feed]:
    """The feeds that steps of this run sync in this process, in the order of their reading."""
    job = context.job_def
    if job.executor_def.name not in _IN_ONE_PROCESS:
        return []
    steps = context.run.step_keys_to_execute or job.graph.node_dict
    return [feed for feed in CLIENT_FEEDS if feed.step in steps]
