"""The worker that runs steps, and keeps their messages while they run."""

import logging
import signal
import socket
import time
import warnings
from collections.abc import Sequence
from typing import Any

from celery import bootsteps
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import task_received, worker_process_init
from celery.worker import state as worker_state
from celery.worker.consumer import Consumer
from dagster_celery.tasks import create_task

from lcm_pipeline.orchestration.celery.broker import LOST_AFTER_SECONDS, build_app
from lcm_pipeline.orchestration.celery.workers import declared_queue, queue_of, worker_config
from lcm_pipeline.settings import Settings


def run_worker(settings: Settings, name: str, slots: int, storage_id: str) -> int:
    """Run steps until the process is stopped; returns the exit code.

    storage_id: the id of Dagster's storage.
    """
    app = build_app(settings)
    queue = queue_of(settings)
    app.amqp.queues.add(declared_queue(queue))
    app.conf.update(worker_config(settings, queue, storage_id))
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
        self.kept = [message for message in (*self.kept, *reserved) if not message.acknowledged]
        if self.task_consumer is not None:
            self.task_consumer.channel.do_restore = False
        with warnings.catch_warnings():
            # A default of Celery will change: steps would be cancelled here.
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)


class RenewDeliveries(bootsteps.StartStopStep):  # type: ignore[misc] # as above
    """Renews the messages that this worker holds in Redis, when they arrive and periodically.

    Kombu redelivers a message after its visibility time-out, even if its worker is alive. A step of
    hours would need a time-out of hours, and the step of a dead worker would wait as long.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None
        self._channel: Any = None

    def start(self, consumer: Any) -> None:
        """Begin to renew, in the event loop of the worker."""
        channel = consumer.task_consumer.channel
        if hasattr(channel, "unacked_index_key"):
            self._channel = channel
            # A message in Redis can be acknowledged on any connection, unlike one of RabbitMQ.
            for message in consumer.kept:
                message.channel = channel
            self._renew()
            self._timer = consumer.timer.call_repeatedly(LOST_AFTER_SECONDS / 4, self._renew)
            task_received.connect(self._renew)

    def stop(self, consumer: Any) -> None:
        """Stop with the connection; the next connection starts again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            task_received.disconnect(self._renew)

    shutdown = stop

    def _renew(self, request: Any = None, **_: Any) -> None:
        """Renew by the clock of Redis, which all workers share. request: one that has just arrived.

        Kombu takes that of each machine: if two differ by more than the time-out, one redelivers
        what the other is running, again and again.
        """
        arrived = () if request is None else (request,)
        held = (*arrived, *tuple(worker_state.reserved_requests))
        tags = [request.message.delivery_tag for request in held]
        with self._channel.conn_or_acquire() as client:
            seconds, microseconds = client.time()
            now = seconds + microseconds / 1e6
            # Kombu redelivers messages that were renewed this long before our time.
            self._channel.qos.visibility_timeout = LOST_AFTER_SECONDS - (now - time.time())
            if tags:
                # Only those that still exist: a step may have ended in the meantime.
                client.zadd(self._channel.unacked_index_key, dict.fromkeys(tags, now), xx=True)
