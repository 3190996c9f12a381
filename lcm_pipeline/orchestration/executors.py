"""Where the steps of a run execute: this process, child processes, Celery workers, or pods."""

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from multiprocessing import forkserver
from types import FrameType, ModuleType
from typing import Any

import dagster as dg

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.extras import requires_extra
from lcm_pipeline.orchestration.storage.instance import CODE_LOCATION
from lcm_pipeline.processes import handling_signals
from lcm_pipeline.settings import Settings

# Set by Kubernetes in every pod.
_POD_VARIABLE = "KUBERNETES_SERVICE_HOST"


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of the settings, for `lcm sync`, schedules and backfills alike.

    Raises MissingExtraError, or a UsageError for a setting that the executor needs.
    """
    if settings.executor == "in_process":
        return dg.in_process_executor
    if settings.executor == "celery":
        executor: dg.ExecutorDefinition = celery_package().executor_of_celery(settings)
        return executor
    if settings.executor == "k8s":
        return _k8s_executor(settings)
    return _stoppable_executor.configured(
        {
            # All readers of a feed in parallel, and one step that does not wait for them.
            "max_concurrent": settings.readers + 1,
            # A new process needs seconds to import; one forked from a loaded process does not.
            "start_method": {"forkserver": {"preload_modules": [CODE_LOCATION]}},
        },
        name=settings.executor,
    )


@dg.executor(
    name="multiprocess",
    config_schema=dg.multiprocess_executor.config_schema.as_field(),
    requirements=dg.multiple_process_executor_requirements(),
)
def _stoppable_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's executor, which can be interrupted while one of its processes is stopped."""
    create: Any = dg.multiprocess_executor.executor_creation_fn
    executor: Any = create(context)
    execute_steps = executor.execute

    def execute(plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        with _continuing_stopped_processes():
            events = execute_steps(plan_context, execution_plan)
            yield next(events)
            # By now Dagster has set what the fork server imports. Left to itself, that server
            # ignores Ctrl-C only after these imports, which take seconds: Ctrl-C ended it with a
            # traceback, and the run failed. In the forked processes Dagster handles Ctrl-C.
            with handling_signals({signal.SIGINT: signal.SIG_IGN}):
                forkserver.ensure_running()
            yield from events

    executor.execute = execute
    created: dg.Executor = executor
    return created


def _continuing_stopped_processes() -> AbstractContextManager[None]:
    """Continue what is stopped in this process group, as by Ctrl-Z, at an interruption.

    Dagster asks the process of each step to end, and waits without a limit until it reacts. A
    stopped process never reacts, nor does one that is killed meanwhile.
    """

    def continue_first(handler: Any, number: int, frame: FrameType | None) -> None:
        # The group also has the server that the processes are forked from.
        os.killpg(0, signal.SIGCONT)
        handler(number, frame)

    return handling_signals(
        {
            number: partial(continue_first, signal.getsignal(number))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
    )


def require_executor(settings: Settings) -> None:
    """Raise a UsageError when a command of `lcm` cannot run with the configured executor.

    Fails fast, without waiting.
    """
    if settings.executor == "celery":
        celery_package().require_broker(settings)
    if settings.executor == "k8s":
        _k8s_executor(settings)
        raise UsageError(
            "LCM_EXECUTOR=k8s runs the steps of a run that Dagster has launched on Kubernetes:"
            " start the sync in Dagster's web interface there, or run this command with"
            " LCM_EXECUTOR=multiprocess; see docs/how-to/kubernetes.md"
        )


def is_in_pod() -> bool:
    """Whether this process runs in a pod of Kubernetes."""
    return _POD_VARIABLE in os.environ


def _k8s_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Dagster's executor for Kubernetes.

    The pods of steps get all that their run's pod has: image, environment, secrets, resources.
    """
    with requires_extra("k8s", "LCM_EXECUTOR=k8s"):
        from dagster_k8s import k8s_job_executor
    config = {"max_concurrent": settings.readers + 1}
    return k8s_job_executor.configured(config, name=settings.executor)


def celery_package() -> ModuleType:
    """`orchestration.celery`, imported where it is used: it needs the extra.

    Raises MissingExtraError.
    """
    with requires_extra("celery", "LCM_EXECUTOR=celery, or lcm worker,"):
        from lcm_pipeline.orchestration import celery as module
    return module
