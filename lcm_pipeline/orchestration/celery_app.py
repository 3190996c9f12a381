"""Dagster's Celery executor, and the worker that runs its steps.

A step is one message to the broker, and its worker acknowledges it when the step has ended. So the
step of a lost worker is redelivered to another one: RabbitMQ notices that the connection closed,
and Redis redelivers a message that its worker has not renewed for half a minute. A step may
therefore run twice at once: its work is claimed in the warehouse, task by task, and published once.

Each warehouse has a queue of its own, so workers of several programmes can use one broker.
"""

import logging
import signal
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
from celery import bootsteps
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import worker_process_init
from celery.worker import state as worker_state
from celery.worker.consumer import Consumer
from dagster_celery import celery_executor
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.defaults import broker_transport_options
from dagster_celery.executor import CeleryExecutor, _submit_task
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.orchestration.instance import CODE_LOCATION, storage_id_of
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.identity import warehouse_identity

# Dagster's executor registers the task again for each step that it submits.
warnings.filterwarnings("ignore", message="Task name 'execute_plan' is already registered")

# The shortest time that does not mistake a machine under load for a dead one.
_LOST_AFTER_SECONDS = 30
_CONNECT_SECONDS = 5.0
_PING_SECONDS = 2.0
# A broker may be away for a day, and be tried every 30 seconds.
_RECONNECTS = 10_000
# Longer than any step: what marks the steps of a run in Redis may not expire before they end.
_MARK_SECONDS = 30 * 86_400
_LOOPBACK = ("localhost", "::1")
# Our own entries in the configuration of Celery, which workers report.
_QUEUE_KEY = "lcm_queue"
_ALIKE_KEY = "lcm_alike"
# A worker with other values has other steps, reads or publishes something else, or exceeds a limit.
_ALIKE_SETTINGS = (
    "readers",
    "timezone",
    "start_date",
    "lookback_days",
    "page_length",
    "audit_share",
    "max_staleness_days",
    "retention_months",
    "delete_fuse",
    "growth_fuse",
    "max_rps",
    "max_in_flight",
)
# Celery masks values whose name contains DATABASE, so this is not the name of the setting.
_STORAGE = "Dagster storage"


@dataclass(frozen=True)
class WorkerSummary:
    """A worker that responds.

    queue: that of its warehouse. alike: what has to be the same as in the command, by name: its
    version, Dagster's storage, settings. Both are empty for a worker that does not report them.
    """

    name: str
    queue: str = ""
    alike: Mapping[str, str] = field(default_factory=dict)

    def difference(self, alike: Mapping[str, str]) -> str | None:
        """The first value that differs from the given ones, as in "LCM_READERS=4, not 2"."""
        for name, value in alike.items():
            own = self.alike.get(name, "unknown")
            if own != value:
                if name == _STORAGE:
                    return "another Dagster storage (LCM_DAGSTER_DATABASE_URL, or LCM_HOME)"
                return f"{name}={own}, not {value}"
        return None


class CeleryUsageError(UsageError):
    """A setting that Celery needs is missing or cannot be used; the message says which."""


class BrokerLostError(UserError):
    """The broker can no longer be reached in the middle of a run."""


def executor_of_celery(settings: Settings) -> dg.ExecutorDefinition:
    """The executor that submits steps to the workers. Raises CeleryUsageError."""
    return _terminating_executor.configured(_executor_config(settings), name="celery")


def require_broker(settings: Settings) -> None:
    """Raise CeleryUsageError unless the settings suffice and the broker is reachable."""
    require_settings(settings)
    broker = _broker_of(settings)
    connection = _build_app(settings).connection_for_write(
        connect_timeout=_CONNECT_SECONDS,
        # A Redis without TLS does not respond to rediss://, as if it were slow.
        transport_options={"socket_timeout": _CONNECT_SECONDS} if _is_redis(broker) else {},
    )
    try:
        with connection:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            if _is_redis(broker):
                # The client of Redis connects with its first command.
                connection.default_channel.client.ping()
    except _lost_connection(settings) as error:
        raise CeleryUsageError(
            f"the broker {_shown(broker)} cannot be reached ({_reason(error)}): start it, or"
            " correct LCM_CELERY_BROKER"
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


def require_same_settings(settings: Settings, storage_id: str) -> int:
    """Query the workers of the warehouse; returns how many respond.

    storage_id: the id of Dagster's storage. Raises CeleryUsageError for a worker with another
    version, storage, or setting of those that all need alike.
    """
    alike = {**_alike(settings), _STORAGE: storage_id}
    found = responding_workers(settings)
    for worker in found:
        if difference := worker.difference(alike):
            raise CeleryUsageError(
                f"the worker {worker.name} has {difference}: give it the same as this command, and"
                " start it again"
            )
    return len(found)


def differing_settings(settings: Settings, worker: WorkerSummary) -> str | None:
    """The first setting, or the version, of a worker that differs from this process; or None."""
    return worker.difference(_alike(settings))


def shown_broker(settings: Settings) -> str:
    """The address of the broker without its user and password."""
    return _shown(_broker_of(settings))


def responding_workers(settings: Settings) -> list[WorkerSummary]:
    """The workers of the warehouse that respond within two seconds, by name."""
    queue = queue_of(settings)
    return [worker for worker in _all_workers(settings) if worker.queue in (queue, "")]


def queue_of(settings: Settings) -> str:
    """The queue of the warehouse of the settings. Raises WarehouseUnavailableError."""
    return f"lcm-{warehouse_identity(settings)}"


def _all_workers(settings: Settings) -> list[WorkerSummary]:
    inspect = _build_app(settings).control.inspect(timeout=_PING_SECONDS)
    return [
        WorkerSummary(name, config.get(_QUEUE_KEY, ""), config.get(_ALIKE_KEY, {}))
        for name, config in sorted((inspect.conf() or {}).items())
    ]


def _alike(settings: Settings) -> dict[str, str]:
    values = {f"LCM_{name.upper()}": str(getattr(settings, name)) for name in _ALIKE_SETTINGS}
    return {"lcm_pipeline": version("lcm-pipeline"), **values}


def run_worker(settings: Settings, name: str, slots: int, storage_id: str) -> int:
    """Run steps until the process is stopped; returns the exit code.

    storage_id: the id of Dagster's storage.
    """
    app = _build_app(settings)
    queue = queue_of(settings)
    app.amqp.queues.add(_queue(queue))
    app.conf.update({_QUEUE_KEY: queue, _ALIKE_KEY: {**_alike(settings), _STORAGE: storage_id}})
    # The result is the events of the step, which are in Dagster's storage: do not log them.
    create_task(app, resultrepr_maxsize=0)
    # alembic logs the database each time that Dagster's storage is opened.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    app.steps["consumer"].add(RenewDeliveries)
    app.conf.worker_consumer = f"{__name__}:{StepConsumer.__name__}"
    worker_process_init.connect(_leave_ctrl_c_to_the_worker)
    worker = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        concurrency=slots,
        queues=queue,
        loglevel="INFO",
        # Workers need not know about each other.
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    if worker_state.should_stop is not None or worker_state.should_terminate is not None:
        # Stopped by a signal; for SIGINT Celery's own code is 1.
        return 0
    return int(worker.exitcode or 0)


def _leave_ctrl_c_to_the_worker(**_: Any) -> None:
    """Block SIGINT, which a terminal sends to the processes of the slots as well.

    Celery ignores it there, but Dagster replaces its handler and ends the running step.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


class _RunSteps:
    """The steps that one run has submitted."""

    def __init__(self, queue: str, run_id: str) -> None:
        self._queue = queue
        self._mark = f"lcm-run-{run_id}"
        self._results: list[Any] = []
        self._client: Any = None

    def submit(self, app: Any, context: Any, step: Any, _default: str, *arguments: Any) -> "_Step":
        """Put a step into the queue of the warehouse. Raises BrokerLostError as below."""
        app.amqp.queues.add(_queue(self._queue))
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
                "the broker has lost the steps in its queue: it was started again without its data,"
                " or emptied"
            )

    def close(self) -> None:
        """Forget the steps, without a connection: an unreachable broker would be tried again."""
        for result in self._results:
            result.backend = None


class _Step:
    """The result of a step on a worker; `revoke` also terminates a step that has begun."""

    def __init__(self, result: Any, steps: _RunSteps) -> None:
        self._result = result
        self._steps = steps

    def ready(self) -> bool:
        self._steps.raise_if_lost()
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
    """Dagster's executor, with the queue of the warehouse, and terminating running steps.

    Dagster's own waits for them when a run is stopped. A step that reads may take hours, and loses
    nothing when it is terminated.
    """
    create: Any = celery_executor.executor_creation_fn
    executor: Any = create(context)

    def execute(plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        settings = load_settings()
        # Runs that `lcm sync` has not started were not checked yet.
        require_same_settings(settings, storage_id_of(plan_context.instance))
        steps = _RunSteps(queue_of(settings), plan_context.run_id)
        try:
            yield from core_celery_execution_loop(plan_context, execution_plan, steps.submit)
        except _lost_connection(settings) as error:
            steps.close()
            raise BrokerLostError(
                f"the broker {shown_broker(settings)} was lost ({_reason(error)})"
            ) from None

    executor.execute = execute
    created: dg.Executor = executor
    return created


def _lost_connection(settings: Settings) -> tuple[type[Exception], ...]:
    """The errors of a broker that cannot be reached."""
    connection = _build_app(settings).connection_for_write()
    # RabbitMQ refuses a password as an error of a channel.
    return (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _queue(name: str) -> Any:
    """A queue as Dagster declares its own, with priorities on RabbitMQ."""
    create: Any = Queue
    return create(name, routing_key=f"{name}.#", queue_arguments={"x-max-priority": 10})


class StepConsumer(Consumer):  # type: ignore[misc] # Celery has no types
    """Celery's consumer; steps that run while Redis is away keep their messages.

    Celery would return these messages to the queue on the connection that it has just lost, and
    later acknowledge them on it: with Redis each is an AttributeError that ends the worker.

    kept: messages of lost connections, not acknowledged yet.
    """

    kept: Sequence[Any] = ()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the lost connection, and keep the messages that came over it."""
        reserved = (request.message for request in tuple(worker_state.reserved_requests))
        self.kept = [one for one in (*self.kept, *reserved) if not one.acknowledged]
        if self.task_consumer is not None:
            self.task_consumer.channel.do_restore = False
        with warnings.catch_warnings():
            # A default of Celery will change: steps would be cancelled here.
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)


class RenewDeliveries(bootsteps.StartStopStep):  # type: ignore[misc] # as above
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
            # A message in Redis can be acknowledged on any connection, unlike one of RabbitMQ.
            for message in consumer.kept:
                message.channel = channel
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
        "backend": broker if _is_redis(broker) else "rpc://",
        # A worker imports it before it forks, so each process of its pool has it.
        "include": [CODE_LOCATION],
        "config_source": _app_config(settings, broker),
    }


def _app_config(settings: Settings, broker: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": _RECONNECTS,
        # One message per slot: messages that wait are left to other workers.
        "worker_prefetch_multiplier": 1,
        "worker_redirect_stdouts": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
    }
    if _is_redis(broker):
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


def _is_redis(broker: str) -> bool:
    return urlsplit(broker).scheme in ("redis", "rediss")


def _shown(broker: str) -> str:
    parts = urlsplit(broker)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
