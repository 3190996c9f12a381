"""Dagster's Celery executor, and the worker that runs its steps. It needs the extra `celery`.

broker.py    the address, whether it can be reached, Celery's configuration
workers.py   the workers that respond, and whether they are set up alike
executor.py  submits the steps, and ends a run whose steps were lost
worker.py    runs the steps, and keeps their messages

A step is one message to the broker, and its worker acknowledges it when the step has ended. So the
step of a lost worker is redelivered to another one: RabbitMQ notices that the connection closed,
and Redis redelivers a message that its worker has not renewed for half a minute. A step may
therefore run twice at once: its work is claimed in the warehouse, task by task, and published once.
"""

import warnings

from lcm_pipeline.orchestration.celery.broker import require_broker, shown_broker
from lcm_pipeline.orchestration.celery.executor import executor_of_celery
from lcm_pipeline.orchestration.celery.worker import run_worker
from lcm_pipeline.orchestration.celery.workers import (
    NO_WORKER,
    differing_settings,
    require_same_settings,
    responding_workers,
)

# Dagster's executor registers the task again for each step that it submits.
warnings.filterwarnings("ignore", message="Task name 'execute_plan' is already registered")

__all__ = [
    "NO_WORKER",
    "differing_settings",
    "executor_of_celery",
    "require_broker",
    "require_same_settings",
    "responding_workers",
    "run_worker",
    "shown_broker",
]
