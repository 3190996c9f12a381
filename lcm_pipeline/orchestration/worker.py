"""A Celery worker that has everything that a step of Dagster needs."""

import os
import warnings

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.orchestration.executors import celery_package
from lcm_pipeline.orchestration.storage.instance import (
    dagster_instance,
    instance_variables,
    storage_id_of,
)
from lcm_pipeline.settings import Settings


def serve_steps(settings: Settings, name: str, slots: int) -> int:
    """Run steps for LCM_EXECUTOR=celery until the process is stopped; returns the exit code.

    Raises a UsageError where the extra or a setting is missing, or the broker or a database cannot
    be reached.
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"--name {name[:40]!r}: expected letters, digits, - and _")
    celery = celery_package()
    celery.require_broker(settings)
    settings.required_api_url()
    # Steps load the code location, whose assets depend on the executor.
    os.environ["LCM_EXECUTOR"] = "celery"
    # Create Dagster's home, or test its database, before a step needs it.
    with dagster_instance(settings) as instance:
        storage_id = storage_id_of(instance)
    os.environ.update(instance_variables(settings))
    # Dagster warns of preview classes, once for each process of the worker.
    warnings.simplefilter("ignore")
    return int(celery.run_worker(settings, name, slots, storage_id))
