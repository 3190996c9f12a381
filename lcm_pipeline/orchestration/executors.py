"""What runs the steps of a run: this process, other processes, or workers of Celery."""

from types import ModuleType

import dagster as dg

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings import Settings

IN_PROCESS = "in_process"
MULTIPROCESS = "multiprocess"
CELERY = "celery"


class ExtraMissingError(UsageError):
    """What an executor needs is not installed; the message names the extra."""


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of the settings, for `lcm sync`, schedules and backfills alike.

    Raises ExtraMissingError, or a UsageError for a setting that the executor needs.
    """
    if settings.executor == IN_PROCESS:
        return dg.in_process_executor
    if settings.executor == CELERY:
        executor: dg.ExecutorDefinition = celery_app().executor_of_celery(settings)
        return executor
    return dg.multiprocess_executor.configured(
        {
            # The readers of a feed at once, and one for what waits for none of them.
            "max_concurrent": settings.readers + 1,
            # A fresh process imports for seconds; one that is forked from a loaded one does not.
            "start_method": {"forkserver": {"preload_modules": ["lcm_pipeline.definitions"]}},
        },
        name=settings.executor,
    )


def require_executor(settings: Settings) -> None:
    """Raise a UsageError when the executor of the settings lacks something; it does not wait."""
    if settings.executor == CELERY:
        celery_app().require_broker(settings)


def celery_app() -> ModuleType:
    """`orchestration.celery_app`, imported where it is used: it needs the extra. Raises
    ExtraMissingError."""
    try:
        from lcm_pipeline.orchestration import celery_app as module
    except ModuleNotFoundError as error:
        raise _missing(error, "celery", "LCM_EXECUTOR=celery and lcm worker need") from None
    return module


def _missing(error: ModuleNotFoundError, extra: str, who: str) -> ExtraMissingError:
    return ExtraMissingError(
        f"{who} lcm_pipeline[{extra}], which is not installed (no module {error.name}):"
        f" pip install 'lcm_pipeline[{extra}]'"
    )
