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

# The Secret with LCM_* variables, see deploy/kubernetes/secret.example.yaml.
K8S_SECRET = "lcm-pipeline"  # noqa: S105 - the name of a Secret
# Set by Kubernetes in every pod, and by Dagster's Helm chart in that of a code location.
_POD_VARIABLE = "KUBERNETES_SERVICE_HOST"
_IMAGE_VARIABLE = "DAGSTER_CURRENT_IMAGE"


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
    """Raise a UsageError when the configured executor cannot run; fails fast, without waiting."""
    if settings.executor == "celery":
        celery_package().require_broker(settings)
    if settings.executor == "k8s":
        _k8s_executor(settings)
        if _POD_VARIABLE not in os.environ:
            raise UsageError(
                "LCM_EXECUTOR=k8s runs each step in a pod, and this process is not in one: start"
                " the sync in Dagster on the cluster, or in a pod of its image; see"
                " docs/scaling.md"
            )


def k8s_config(settings: Settings) -> dict[str, Any]:
    """The configuration of Dagster's executor for Kubernetes.

    The pods of steps also get what the code location's deployment sets. This is what they need
    wherever the run was started.
    """
    config: dict[str, Any] = {
        "max_concurrent": settings.readers + 1,
        "env_secrets": [K8S_SECRET],
        "env_vars": ["LCM_EXECUTOR=k8s", f"LCM_READERS={settings.readers}"],
        # See docs/benchmarks.md for what a sync of a large roster takes.
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"memory": "1Gi"},
        },
    }
    if image := os.environ.get(_IMAGE_VARIABLE):
        # A run of `lcm sync` has no code location from which to take the image.
        config["job_image"] = image
    return config


def _k8s_executor(settings: Settings) -> dg.ExecutorDefinition:
    with requires_extra("k8s", "LCM_EXECUTOR=k8s"):
        from dagster_k8s import k8s_job_executor
    return k8s_job_executor.configured(k8s_config(settings), name=settings.executor)


def celery_package() -> ModuleType:
    """`orchestration.celery`, imported where it is used: it needs the extra.

    Raises MissingExtraError.
    """
    with requires_extra("celery", "LCM_EXECUTOR=celery, or lcm worker,"):
        from lcm_pipeline.orchestration import celery as module
    return module
