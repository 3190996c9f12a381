"""Business days as Dagster partitions, and the days of a run.

The first day and the time zone are read from the settings when this module is imported, as Dagster
needs them to define the assets; nothing else of the settings is read before a run.
"""

from datetime import date, timedelta

import dagster as dg

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.times import COMPLETE_BY_HOUR
from lcm_pipeline.settings import Settings, load_settings

# The tags of a run's partitions; Dagster's constants for them are private.
_DAY_TAG = "dagster/partition"
_FIRST_TAG = "dagster/asset_partition_range_start"
_LAST_TAG = "dagster/asset_partition_range_end"


class WindowError(UsageError):
    """The requested days cannot be synced; the message says why."""


def days_of(settings: Settings) -> dg.DailyPartitionsDefinition:
    """The days of a programme, from its first to the last that has ended."""
    return dg.DailyPartitionsDefinition(
        start_date=str(settings.first_partition), timezone=settings.timezone
    )


DAYS = days_of(load_settings())

# A range of days is one run and one reading.
ONE_RUN = dg.BackfillPolicy.single_run()

FRESH_BY_MORNING = dg.FreshnessPolicy.cron(
    deadline_cron=f"0 {COMPLETE_BY_HOUR} * * *",
    lower_bound_delta=timedelta(hours=COMPLETE_BY_HOUR),
    timezone=DAYS.timezone,
)


def window_of(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> Window:
    """The days that the run is for; yesterday for a check that is run on its own.

    Raises WindowError: a run may be launched without a partition, or with tags that name any days.
    """
    first, last = tagged_days(context.run)
    if first is None or last is None:
        if not isinstance(context, dg.AssetCheckExecutionContext):
            raise WindowError(
                "the run was launched without a day: choose a partition, or a range of them"
            )
        first = last = str(DAYS.get_last_partition_key())
    try:
        window = Window(date.fromisoformat(first), date.fromisoformat(last))
    except ValueError as error:
        raise WindowError(
            f"the run cannot be for the partitions {first}...{last}: {error}"
        ) from None
    _require_partitions(window)
    return window


def tagged_days(run: dg.DagsterRun) -> tuple[str | None, str | None]:
    """The first and the last day in the tags of a run, as they are; None for none."""
    day = run.tags.get(_DAY_TAG)
    return run.tags.get(_FIRST_TAG) or day, run.tags.get(_LAST_TAG) or day


def tags_for(window: Window) -> dict[str, str]:
    """The tags of a run for the days of the window; raises WindowError."""
    _require_partitions(window)
    if len(window) == 1:
        return {_DAY_TAG: str(window.first)}
    return {_FIRST_TAG: str(window.first), _LAST_TAG: str(window.last)}


def _require_partitions(window: Window) -> None:
    """Raise WindowError unless each day of the window is a partition: one that has ended."""
    earliest, latest = DAYS.get_first_partition_key(), DAYS.get_last_partition_key()
    if latest is None or str(window.last) > latest:
        raise WindowError(
            f"{window.last} has not ended yet in {DAYS.timezone}: the last day that can be "
            f"synced is {latest}"
        )
    if earliest is None or str(window.first) < earliest:
        raise WindowError(
            f"{window.first} is before {earliest}, the first partition: set LCM_START_DATE "
            "to an earlier day"
        )
