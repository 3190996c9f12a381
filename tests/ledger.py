"""Tasks of a run, claimed as a reader claims them, for tests that record outcomes."""

from collections.abc import Sequence

import psycopg

from lcm_pipeline.model.tasks import Task
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.tasks import claim_tasks


def claim_clients(
    session: psycopg.Connection, run: Run, client_ids: Sequence[int]
) -> dict[int, Task]:
    """Add clients to the ledger of a run and claim them all; returns the task of each."""
    session.execute(
        "insert into sync.fetches (run_id, client_id)"
        " select %s, client_id from unnest(%s::bigint[]) as client_id on conflict do nothing",
        (run.run_id, list(client_ids)),
    )
    claimed = claim_tasks(session, run, after=None, most=len(client_ids))
    return {task.client_id: task for task in claimed if task.client_id is not None}
