"""What runs the steps of a run: this process, or processes of Dagster's own executors."""

import dagster as dg

from lcm_pipeline.settings import Settings

IN_PROCESS = "in_process"


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of the settings, for `lcm sync`, schedules and backfills alike."""
    if settings.executor == IN_PROCESS:
        return dg.in_process_executor
    return dg.multiprocess_executor.configured(
        {
            # The readers of a feed at once, and one for what waits for none of them.
            "max_concurrent": settings.readers + 1,
            # A fresh process imports for seconds; one that is forked from a loaded one does not.
            "start_method": {"forkserver": {"preload_modules": ["lcm_pipeline.definitions"]}},
        },
        name=settings.executor,
    )
