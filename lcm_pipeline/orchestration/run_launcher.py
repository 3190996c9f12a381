"""Dagster's run launcher, for homes that share a storage but cannot reach each other's processes.

It can also tell the daemon whether the process of a run is alive.

The daemon fails and repeats runs whose process died only if their launcher can tell, and Dagster's
own cannot. Its server of code reports a process that dies, but not if the server dies too, as
when the machine loses power: the run would stay "started" forever, and as one run at a time reads
the API, no other would ever begin.

Machines that share Dagster's storage cannot reach each other's servers of code, so a daemon judges
only the runs that were launched from its own home, LCM_HOME/dagster. A web server of another home
only marks a run as canceling; a sensor where the run was launched terminates its process.

dagster.yaml names the class by this module.
"""

from pathlib import Path
from uuid import uuid4

import dagster as dg
import grpc

from lcm_pipeline.files import replacing
from lcm_pipeline.orchestration.dagster_internals import (
    GRPC_INFO_TAG,
    CanCancelExecutionRequest,
    CanCancelExecutionResult,
    CancelExecutionRequest,
    CheckRunHealthResult,
    DagsterUserCodeUnreachableError,
    LaunchRunContext,
    WorkerStatus,
    deserialize_value,
)

# The id of the home that a run was launched from.
HOME_TAG = "lcm/home"


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Launches runs as Dagster does, and asks the server that launched a run about its process.

    A server that survived the daemon finishes its runs, and responds until then.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether the daemon may ask for the health of a run."""
        return True

    def launch_run(self, context: LaunchRunContext) -> None:
        """Record from where, and launch as Dagster does."""
        self._instance.add_run_tags(context.dagster_run.run_id, {HOME_TAG: self._home_id()})
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """Terminate a run, or leave it to the home that launched it; returns whether it will end.

        Raises DagsterInvariantViolationError for a run that a command executes.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if GRPC_INFO_TAG not in run.tags:
            raise dg.DagsterInvariantViolationError(
                "A command executes this run: end it there, with Ctrl-C. If its machine is gone,"
                " force the termination."
            )
        if self._is_own(run):
            return super().terminate(run_id)  # type: ignore[no-any-return, no-untyped-call]
        self._instance.report_run_canceling(run)
        return True

    def terminate_canceling(self, run: dg.DagsterRun) -> None:
        """Terminate the process of a run that a web server of another home marked as canceling."""
        if self._is_own(run):
            client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
            if client is not None:
                client.cancel_execution(CancelExecutionRequest(run_id=run.run_id))

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a started run is alive; yes for one of another machine."""
        if not self._is_own(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
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

    def _is_own(self, run: dg.DagsterRun) -> bool:
        return run.tags.get(HOME_TAG) == self._home_id()

    def _home_id(self) -> str:
        """The id of DAGSTER_HOME; created once, and as old as the folder: hosts are renamed."""
        path = Path(self._instance.root_directory) / "home_id"
        if not path.exists():
            with replacing(path) as file:
                file.write(str(uuid4()).encode())
        return path.read_text("utf-8")
