"""The jobs that can be launched by hand, by a schedule or by the command line."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from lcm_pipeline.feeds import LEADS, OPERATIONS, REGISTRATIONS
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.texts import counted
from lcm_pipeline.orchestration.checks.outbox import stuck_updates_evaluation
from lcm_pipeline.orchestration.metadata import push_materialization
from lcm_pipeline.orchestration.resources import POOL, SyncResource
from lcm_pipeline.orchestration.storage import local_runs, retention
from lcm_pipeline.orchestration.storage.instance import instance_home
from lcm_pipeline.push.push import PushStoppedError, WriteBack
from lcm_pipeline.settings import load_settings
from lcm_pipeline.verify.reconcile import TotalsDifferError, require_totals_for_removal
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.outbox.state import OutboxState, read_outbox

_SENSOR_TAG = "dagster/sensor_name"
_PushEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[None]

sync_days = dg.define_asset_job(
    "sync_days",
    selection=dg.AssetSelection.all(),
    description="Sync everything for a day or a range of days: the roster, then the feeds of "
    "clients, then the checks and the marts.",
)

sync_clients_only = dg.define_asset_job(
    "sync_clients_only",
    selection=dg.AssetSelection.assets(*REGISTRATIONS.assets),
    description="Poll registrations only, without reading the clients. Cheap: one request a day.",
)

sync_operations_and_leads = dg.define_asset_job(
    "sync_operations_and_leads",
    selection=dg.AssetSelection.assets(*REGISTRATIONS.assets, *OPERATIONS.assets, *LEADS.assets),
    description="Sync the roster, operations and leads, and leave the favourites as they are.",
)


@dg.op
def tidy_up(context: dg.OpExecutionContext) -> None:
    """Mark runs of killed commands as failed, then delete what is old."""
    settings = load_settings()
    dead = local_runs.fail_dead_runs(context.instance, instance_home(settings))
    deleted = retention.delete_old_runs(context.instance, now=datetime.now(UTC))
    context.log.info(f"{dead} dead runs marked as failed, {deleted} old runs deleted")
    if settings.retention_months is not None:
        with open_warehouse(settings) as warehouse:
            migrate(warehouse, marts_may_wait=True)
            try:
                require_totals_for_removal(warehouse)
            except TotalsDifferError as error:
                context.log.warning(str(error))
            else:
                retention.remove_expired(context.instance, settings, warehouse)


@dg.job(
    description=f"Delete runs older than {retention.KEPT_DAYS} days: Dagster stores every event"
    " forever otherwise. When each day was last synced is preserved. Delete what is older than"
    " LCM_RETENTION_MONTHS, if it is set and all totals agree.",
    executor_def=dg.in_process_executor,
)
def delete_old_runs() -> None:
    """Housekeeping, of Dagster's own storage and of the warehouse."""
    tidy_up()


class PushNotConfirmedError(UserError):
    """The run was started without a confirmation; the message says what to give."""


class PushConfirmation(dg.Config):
    """The confirmation for a push started by hand; a link or a stray click cannot know it."""

    confirm: int = Field(
        0,
        description="Id of the newest pending update in outbox.profile_updates: it confirms that"
        " you know what will be sent. The error of a run without it names the id.",
    )


@dg.op(pool=POOL)
def send_profile_updates(
    context: dg.OpExecutionContext,
    config: PushConfirmation,
    sync: dg.ResourceParam[SyncResource],
) -> Iterator[_PushEvent]:
    """Send the pending updates; report the results, and whether a response was lost."""
    _require_confirmation(context, config, read_outbox(sync.warehouse))
    try:
        report = WriteBack(sync.engine.settings, sync.warehouse).push()
    except PushStoppedError as stopped:
        yield push_materialization(stopped.report)
        raise
    yield push_materialization(report)
    state = read_outbox(sync.warehouse)
    if state is not None:
        yield stuck_updates_evaluation(state)
    yield dg.Output(None)


def _require_confirmation(
    context: dg.OpExecutionContext, config: PushConfirmation, state: OutboxState | None
) -> None:
    """Raise PushNotConfirmedError unless the run names the newest pending update.

    A run of the sensor names the newest update at its evaluation; newer ones may have been added.
    """
    newest = state.newest_id if state is not None else 0
    is_of_sensor = _SENSOR_TAG in context.run.tags
    if config.confirm != newest and not (is_of_sensor and 0 < config.confirm < newest):
        waiting = state.waiting if state is not None else 0
        raise PushNotConfirmedError(
            "nothing was sent, as the run is not confirmed."
            f" {counted(waiting, 'update waits', 'updates wait')}: to send, give confirm: {newest}"
            " in the config of the op send_profile_updates, or run lcm push"
        )


@dg.job(
    description="Send the profile updates that wait in outbox.profile_updates to the API, as"
    " `lcm push` does. Waits for syncs: they take from the same pool.",
    executor_def=dg.in_process_executor,
)
def push_profiles() -> None:
    """The write-back; nothing else writes to the API."""
    send_profile_updates()


JOBS = (
    sync_days,
    sync_clients_only,
    sync_operations_and_leads,
    push_profiles,
    delete_old_runs,
)
