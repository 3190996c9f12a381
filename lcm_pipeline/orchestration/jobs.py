"""The jobs: what can be started as a whole, by hand, by a schedule or by the command line."""

import dagster as dg

from lcm_pipeline.orchestration.assets import clients, leads, operations
from lcm_pipeline.orchestration.retention import KEPT_DAYS, forget_old_runs_op

sync_days = dg.define_asset_job(
    "sync_days",
    selection=dg.AssetSelection.all(),
    description="Sync everything for a day or a range of days: the roster, then operations, leads "
    "and favourites, then the checks.",
)

sync_clients_only = dg.define_asset_job(
    "sync_clients_only",
    selection=dg.AssetSelection.assets(clients),
    description="Poll who registered, without reading what they did. Cheap: one request a day.",
)

sync_operations_and_leads = dg.define_asset_job(
    "sync_operations_and_leads",
    selection=dg.AssetSelection.assets(clients, operations, leads),
    description="Sync the roster, operations and leads, and leave the favourites as they are.",
)


@dg.job(
    name="forget_old_runs",
    description=f"Housekeeping of Dagster's own storage: runs older than {KEPT_DAYS} days.",
    executor_def=dg.in_process_executor,
)
def forget_old_runs() -> None:
    """The job of one op."""
    forget_old_runs_op()
