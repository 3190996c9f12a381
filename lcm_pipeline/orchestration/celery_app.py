"""Dagster's Celery executor, and the worker that runs its steps.

A step is one message to the broker, and its worker acknowledges it when the step has ended. So the
step of a lost worker is redelivered to another one: RabbitMQ notices that the connection closed,
and Redis redelivers a message that its worker has not renewed for half a minute. A step may
therefore run twice at once: its work is claimed in the warehouse, task by task, and published once.
"""

import logging
import socket
import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
from celery import bootsteps
from celery.worker import state as worker_state
from dagster_celery import celery_executor
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.defaults import broker_transport_options
from dagster_celery.executor import CeleryExecutor, _submit_task
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task
from kombu.exceptions import OperationalError

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.orchestration.instance import CODE_LOCATION
from lcm_pipeline.settings import Settings

# Dagster's executor registers the task again for each step that it submits.
warnings.filterwarnings("ignore", message="Task name 'execute_plan' is already registered")

# The shortest time that does not mistake a machine under load for a dead one.
_LOST_AFTER_SECONDS = 30
_CONNECT_SECONDS = 5.0
_PING_SECONDS = 2.0
_LOOPBACK = ("localhost", "::1")
# Our own entry in the configuration of Celery, which workers report.
_READERS_KEY = "lcm_readers"


@dataclass(frozen=True)
class WorkerSummary:
    """A worker that responds. readers: its LCM_READERS; None for one that is not of `lcm`."""

    name: str
    readers: int | None


class CeleryUsageError(UsageError):
    """A setting that Celery needs is missing or cannot be used; the message says which."""


def executor_of_celery(settings: Settings) -> dg.ExecutorDefinition:
    """The executor that submits steps to the workers. Raises CeleryUsageError."""
    return _terminating_executor.configured(_executor_config(settings), name="celery")


def require_broker(settings: Settings) -> None:
    """Raise CeleryUsageError unless the settings suffice and the broker is reachable."""
    require_settings(settings)
    broker = _broker_of(settings)
    connection = _build_app(settings).connection_for_write(connect_timeout=_CONNECT_SECONDS)
    try:
        with connection:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            if broker.startswith("redis"):
                # The client of Redis connects with its first command.
                connection.default_channel.client.ping()
    except (OperationalError, OSError, *connection.connection_errors) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CeleryUsageError(
            f"the broker {_shown(broker)} cannot be reached ({reason}): start it, or correct"
            " LCM_CELERY_BROKER"
        ) from None


def require_settings(settings: Settings) -> None:
    """Raise CeleryUsageError if workers on other machines could not reach the shared state."""
    host = urlsplit(_broker_of(settings)).hostname or ""
    if host in _LOOPBACK or host.startswith("127."):
        return
    for name, value, fallback in (
        ("LCM_DATABASE_URL", settings.database_url, "the embedded warehouse"),
        ("LCM_DAGSTER_DATABASE_URL", settings.dagster_database_url, "Dagster's own storage"),
    ):
        if value is None:
            raise CeleryUsageError(
                f"{name} is not set: {fallback} would be in LCM_HOME, which workers on other"
                f" machines cannot reach, and the broker is on {host}. Set it to the same Postgres"
                " for the command and all workers (a broker on localhost needs none)"
            )


def require_same_readers(settings: Settings) -> int:
    """Query the workers; returns how many respond.

    Raises CeleryUsageError for a worker whose LCM_READERS differs: its code location has other
    steps, and it would fail those that it is given.
    """
    found = responding_workers(settings)
    for worker in found:
        if worker.readers != settings.readers:
            raise CeleryUsageError(
                f"the worker {worker.name} has LCM_READERS={worker.readers}, and this process"
                f" {settings.readers}: give all the same, and start the worker again"
            )
    return len(found)


def shown_broker(settings: Settings) -> str:
    """The address of the broker without its user and password."""
    return _shown(_broker_of(settings))


def responding_workers(settings: Settings) -> list[WorkerSummary]:
    """The workers that respond within two seconds, by name."""
    inspect = _build_app(settings).control.inspect(timeout=_PING_SECONDS)
    found = inspect.conf() or {}
    return [WorkerSummary(name, config.get(_READERS_KEY)) for name, config in sorted(found.items())]


def run_worker(settings: Settings, name: str, slots: int) -> int:
    """Run steps until the process is stopped; returns the exit code."""
    app = _build_app(settings)
    # The result is the events of the step, which are in Dagster's storage: do not log them.
    create_task(app, resultrepr_maxsize=0)
    # alembic logs the database each time that Dagster's storage is opened.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    app.steps["consumer"].add(RenewDeliveries)
    arguments = [
        "worker",
        f"--hostname={name}@{socket.gethostname()}",
        f"--concurrency={slots}",
        "--queues=dagster",
        "--loglevel=INFO",
        # Workers need not know about each other.
        "--without-gossip",
        "--without-mingle",
    ]
    try:
        app.worker_main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


class _Step:
    """The result of a step on a worker; `revoke` also terminates a step that has begun."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def ready(self) -> bool:
        return bool(self._result.ready())

    def get(self) -> Any:
        return self._result.get()

    def revoke(self) -> None:
        self._result.revoke(terminate=True)


@dg.executor(
    name="celery",
    config_schema=celery_executor.config_schema.as_field(),
    requirements=dg.multiple_process_executor_requirements(),
)
def _terminating_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's executor, made to terminate running steps when a run is stopped.

    Dagster's own waits for them. A step that reads may take hours, and loses nothing when it is
    terminated.
    """
    create: Any = celery_executor.executor_creation_fn
    executor: Any = create(context)

    def submit(*arguments: Any) -> _Step:
        return _Step(_submit_task(*arguments))

    executor.execute = partial(core_celery_execution_loop, step_execution_fn=submit)
    created: dg.Executor = executor
    return created


class RenewDeliveries(bootsteps.StartStopStep):  # type: ignore[misc] # Celery has no types
    """Renews the messages that this worker holds in Redis, periodically.

    Kombu redelivers a message after its visibility time-out, even if its worker is alive. A step of
    hours would need a time-out of hours, and the step of a dead worker would wait as long.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin to renew, in the event loop of the worker."""
        channel = consumer.task_consumer.channel
        if hasattr(channel, "unacked_index_key"):
            self._timer = consumer.timer.call_repeatedly(
                _LOST_AFTER_SECONDS / 4, _renew, args=(channel,)
            )

    def stop(self, consumer: Any) -> None:
        """Stop with the connection; the next connection starts again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop


def _renew(channel: Any) -> None:
    tags = [request.message.delivery_tag for request in tuple(worker_state.reserved_requests)]
    if tags:
        with channel.conn_or_acquire() as client:
            # Only those that still exist: a step may have ended in the meantime.
            client.zadd(channel.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True)


def _build_app(settings: Settings) -> Any:
    config = _executor_config(settings)
    return make_app(CeleryExecutor.for_cli(**config).app_args())


def _executor_config(settings: Settings) -> dict[str, Any]:
    broker = _broker_of(settings)
    return {
        "broker": broker,
        # RabbitMQ sends results back to the waiting process; Redis stores them.
        "backend": broker if broker.startswith("redis") else "rpc://",
        # A worker imports it before it forks, so each process of its pool has it.
        "include": [CODE_LOCATION],
        "config_source": _app_config(settings, broker),
    }


def _app_config(settings: Settings, broker: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "broker_connection_retry_on_startup": True,
        # One message per slot: messages that wait are left to other workers.
        "worker_prefetch_multiplier": 1,
        "worker_redirect_stdouts": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        _READERS_KEY: settings.readers,
    }
    if broker.startswith("redis"):
        config["broker_transport_options"] = {
            **broker_transport_options,
            "visibility_timeout": _LOST_AFTER_SECONDS,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # A worker that dies while it restores lost messages blocks the others for this long.
            "unacked_mutex_expire": 10,
        }
    return config


def _broker_of(settings: Settings) -> str:
    if settings.celery_broker is None:
        raise CeleryUsageError(
            "LCM_CELERY_BROKER is not set: LCM_EXECUTOR=celery and lcm worker need the address of a"
            " broker, such as LCM_CELERY_BROKER=redis://localhost:6379/0"
        )
    broker = settings.celery_broker.get_secret_value()
    parts = urlsplit(broker)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        # Without it Celery checks no certificate, or refuses the address.
        query = "&".join(filter(None, (parts.query, "ssl_cert_reqs=required")))
        return parts._replace(query=query).geturl()
    return broker


def _shown(broker: str) -> str:
    parts = urlsplit(broker)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
