"""The workers of a warehouse that respond, and whether they are set up like this process.

Each warehouse has a queue of its own, so workers of several programmes can use one broker.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from kombu.entity import Queue

from lcm_pipeline.orchestration.celery.broker import CeleryUsageError, build_app
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.identity import warehouse_identity
from lcm_pipeline.warehouse.programme import programme_of
from lcm_pipeline.warehouse.queries import migration_files

NO_WORKER = (
    "no worker of this warehouse responds: the steps wait until one is started with lcm worker"
)
_PING_SECONDS = 2.0
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
    version and migrations, Dagster's storage, settings. Both are empty for a worker that does not
    report them.
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


def require_same_settings(settings: Settings, storage_id: str) -> int:
    """Query the workers of the warehouse; returns how many respond.

    storage_id: the id of Dagster's storage. Raises CeleryUsageError for a worker with another
    version, storage, or setting of those that all need alike.
    """
    alike = _alike_with_storage(settings, storage_id)
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


def responding_workers(settings: Settings, queue: str | None = None) -> list[WorkerSummary]:
    """The workers of the warehouse that respond within two seconds, by name.

    queue: that of the warehouse, for a caller that knows it without a database.
    """
    queue = queue or queue_of(settings)
    inspect = build_app(settings).control.inspect(timeout=_PING_SECONDS)
    found = [
        WorkerSummary(name, config.get(_QUEUE_KEY, ""), config.get(_ALIKE_KEY, {}))
        for name, config in sorted((inspect.conf() or {}).items())
    ]
    return [worker for worker in found if worker.queue in (queue, "")]


def queue_of(settings: Settings) -> str:
    """The queue of the warehouse of the settings. Raises WarehouseUnavailableError."""
    return f"lcm-{warehouse_identity(settings)}"


def declared_queue(name: str) -> Any:
    """A queue as Dagster declares its own, with priorities on RabbitMQ."""
    create: Any = Queue
    return create(name, routing_key=f"{name}.#", queue_arguments={"x-max-priority": 10})


def worker_config(settings: Settings, queue: str, storage_id: str) -> dict[str, Any]:
    """What a worker reports of itself: entries for the configuration of its Celery app.

    storage_id: the id of Dagster's storage.
    """
    return {_QUEUE_KEY: queue, _ALIKE_KEY: _alike_with_storage(settings, storage_id)}


def _alike_with_storage(settings: Settings, storage_id: str) -> dict[str, str]:
    return {**_alike(settings), _STORAGE: storage_id}


def _alike(settings: Settings) -> dict[str, str]:
    """What has to be alike in a command and its workers: version, API and settings, by name."""
    values = {f"LCM_{name.upper()}": str(getattr(settings, name)) for name in _ALIKE_SETTINGS}
    values["lcm_pipeline"] = version("lcm-pipeline")
    # Checkouts between two releases have the same version.
    values["newest migration"] = migration_files()[-1].stem
    if settings.api_url is not None:
        # A warehouse is bound to its API, but a new one to that of the first worker. Celery masks
        # values whose name contains API.
        values["programme"] = str(programme_of(settings))
    return values
