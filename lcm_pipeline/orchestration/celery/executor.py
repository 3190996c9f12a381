"""Dagster's Celery executor, which ends a run whose steps the broker has lost."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from celery.exceptions import TaskRevokedError
from dagster_celery import celery_executor
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import _submit_task

from lcm_pipeline.orchestration.celery.broker import (
    BrokerLostError,
    build_app,
    executor_config,
    lost_connection_errors,
    reason_of,
    require_broker,
    shown_broker,
)
from lcm_pipeline.orchestration.celery.workers import (
    NO_WORKER,
    declared_queue,
    queue_of,
    require_same_settings,
    responding_workers,
)
from lcm_pipeline.orchestration.storage.instance import storage_id_of
from lcm_pipeline.settings import Settings, load_settings

# Longer than any step: what marks the steps of a run in Redis may not expire before they end.
_MARK_SECONDS = 30 * 86_400
# Dagster's loop does not pause while a stopped or failed run waits for its other steps.
_POLL_SECONDS = 0.1
_WORKER_CHECK_SECONDS = 5.0
# For a run of the daemon too, which no command reports.
_NEXT_STEP = "when it runs, sync the same days again"


def executor_of_celery(settings: Settings) -> dg.ExecutorDefinition:
    """The executor that submits steps to the workers. Raises CeleryUsageError."""
    return _terminating_executor.configured(executor_config(settings), name="celery")


class _RunSteps:
    """The steps that one run has submitted."""

    def __init__(self, settings: Settings, queue: str, run_id: str) -> None:
        self._settings = settings
        self._queue = queue
        self._mark = f"lcm-run-{run_id}"
        self._results: list[Any] = []
        self._client: Any = None
        self._polled_at = float("-inf")
        self._checked_at = float("-inf")
        self._is_withdrawn = False

    def submit(self, app: Any, context: Any, step: Any, _default: str, *arguments: Any) -> "_Step":
        """Put a step into the queue of the warehouse. Raises BrokerLostError as below."""
        app.amqp.queues.add(declared_queue(self._queue))
        self._results.append(_submit_task(app, context, step, self._queue, *arguments))
        # RabbitMQ keeps its queues, and a connection that it has closed is noticed.
        self._client = getattr(app.backend, "client", None)
        if self._client is not None:
            # Counted in Redis, because setting the number would hide that it was lost.
            counted = self._client.incr(self._mark)
            self._client.expire(self._mark, _MARK_SECONDS)
            self._require(counted)
        return _Step(self._results[-1], self)

    def raise_if_lost(self) -> None:
        """Raise BrokerLostError if Redis has come back without what was submitted last.

        Its clients connect again unnoticed, and the run would wait for the lost steps forever.
        """
        if self._client is not None:
            self._require(int(self._client.get(self._mark) or 0))

    def _require(self, counted: int) -> None:
        if counted != len(self._results):
            raise BrokerLostError(
                "the broker has lost the steps in its queue (it was started again without its data,"
                f" or emptied): {_NEXT_STEP}"
            )

    def pause(self) -> None:
        """Sleep, unless the last poll was long ago."""
        time.sleep(max(0.0, self._polled_at + _POLL_SECONDS - time.monotonic()))
        self._polled_at = time.monotonic()

    def withdraw_without_workers(self) -> bool:
        """Take the steps of a stopped run out of the queue, if no worker is there to discard them.

        Returns whether it did. It checks every few seconds, as the workers may end meanwhile.
        """
        is_checked = time.monotonic() - self._checked_at < _WORKER_CHECK_SECONDS
        if self._is_withdrawn or is_checked:
            return self._is_withdrawn
        if responding_workers(self._settings, self._queue):
            self._checked_at = time.monotonic()
            return False
        self._is_withdrawn = True
        own = {result.id for result in self._results}
        with build_app(self._settings).connection_for_write() as connection:
            queue = declared_queue(self._queue)(connection.default_channel)
            others = []
            while (message := queue.get()) is not None:
                if message.headers.get("id") in own:
                    message.ack()
                else:
                    others.append(message)
            for message in others:
                message.requeue()
        return True

    def close(self) -> None:
        """Forget the steps, without a connection: an unreachable broker would be tried again."""
        for result in self._results:
            result.backend = None


class _Step:
    """The result of a step on a worker; `revoke` also terminates a step that has begun."""

    def __init__(self, result: Any, steps: _RunSteps) -> None:
        self._result = result
        self._steps = steps
        self._is_revoked = False
        self._is_withdrawn = False

    def ready(self) -> bool:
        self._steps.pause()
        self._steps.raise_if_lost()
        if self._result.ready():
            return True
        if self._is_revoked and not self._is_withdrawn:
            self._is_withdrawn = self._steps.withdraw_without_workers()
        return self._is_withdrawn

    def get(self) -> Any:
        if self._is_withdrawn:
            raise TaskRevokedError
        return self._result.get()

    def revoke(self) -> None:
        self._is_revoked = True
        self._result.revoke(terminate=True)


@dg.executor(
    name="celery",
    config_schema=celery_executor.config_schema.as_field(),
    requirements=dg.multiple_process_executor_requirements(),
)
def _terminating_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's executor, with the queue of the warehouse, and terminating running steps.

    Dagster's own waits for them when a run is stopped. A step that reads may take hours, and loses
    nothing when it is terminated.
    """
    create: Any = celery_executor.executor_creation_fn
    executor: Any = create(context)

    def execute(plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        settings = load_settings()
        # Runs that `lcm sync` has not started were not checked yet.
        require_broker(settings)
        steps = _RunSteps(settings, queue_of(settings), plan_context.run_id)
        try:
            if not require_same_settings(settings, storage_id_of(plan_context.instance)):
                plan_context.log.warning(NO_WORKER)
            yield from core_celery_execution_loop(plan_context, execution_plan, steps.submit)
        except lost_connection_errors(settings) as error:
            steps.close()
            raise BrokerLostError(
                f"the broker {shown_broker(settings)} was lost ({reason_of(error)}): {_NEXT_STEP}"
            ) from None

    executor.execute = execute
    created: dg.Executor = executor
    return created
