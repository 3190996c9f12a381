"""Dagster's run launcher, which can also tell the daemon whether the process of a run is alive.

The daemon fails and repeats runs whose process died only if their launcher can tell, and Dagster's
own cannot. Its server of code reports a process that dies, but not if the server dies too, as
when the machine loses power: the run would stay "started" forever, and as one run at a time reads
the API, no other would ever begin.

dagster.yaml names the class by this module.
"""

import dagster as dg
import grpc

from lcm_pipeline.orchestration.dagster_internals import (
    CanCancelExecutionRequest,
    CanCancelExecutionResult,
    CheckRunHealthResult,
    DagsterUserCodeUnreachableError,
    WorkerStatus,
    deserialize_value,
)


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Launches runs as Dagster does; asks the server that a run was launched by about its process.

    A server that survived the daemon finishes its runs, and responds for as long.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether the daemon may ask for the health of a run."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a started run is alive."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            # It ended just now, or a command executes it: see storage/local_runs.py.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            reply = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        except DagsterUserCodeUnreachableError as error:
            cause = error.__cause__
            if isinstance(cause, grpc.RpcError) and cause.code() is grpc.StatusCode.UNAVAILABLE:
                return CheckRunHealthResult(
                    WorkerStatus.NOT_FOUND, "its process and its server ended"
                )
            # The server is busy, and so is the run: it would be started a second time.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if deserialize_value(reply, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process ended")
