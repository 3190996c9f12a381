"""Dagster's web page behind the guard, for runner.py: HOST PORT and further host names.

Dagster's own program cannot add a middleware, so this one builds the same application and serves
it. The token is passed in the environment, as other users can see the arguments of a process.
"""

import os
import signal
import sys
from contextlib import suppress

import dagster as dg
import uvicorn
from dagster_webserver.app import create_app_from_workspace_process_context

from lcm_pipeline.orchestration.dagster_internals import ModuleTarget, WorkspaceProcessContext
from lcm_pipeline.orchestration.storage.instance import CODE_LOCATION
from lcm_pipeline.orchestration.ui.request_guard import RequestGuard
from lcm_pipeline.orchestration.ui.supervisor import UI_TOKEN

_POLL_MILLISECONDS = 2000


def main(arguments: list[str]) -> None:
    """Serve until stopped. arguments: host, port, and further allowed host names."""
    host, port, *names = arguments
    token = os.environ.pop(UI_TOKEN, None)
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(
            instance,
            workspace_load_target=ModuleTarget(CODE_LOCATION, None, None, CODE_LOCATION),
            read_only=token is None,
            code_server_log_level="error",
        ) as workspace,
    ):
        page = create_app_from_workspace_process_context(
            workspace, live_data_poll_rate=_POLL_MILLISECONDS
        )
        guarded = RequestGuard(page, hosts=frozenset(names), token=token)
        uvicorn.run(guarded, host=host, port=int(port), log_level="error")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Raised for Ctrl-C and when lcm ui stops the server; uvicorn has already shut down.
    with suppress(KeyboardInterrupt):
        main(sys.argv[1:])
