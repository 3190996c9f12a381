"""The asset check of the outbox, after each push and at any other time."""

import dagster as dg

from lcm_pipeline.model.texts import counted
from lcm_pipeline.orchestration.assets.profile_updates import profile_updates
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.warehouse.outbox.state import OutboxState, read_outbox

_NAME = "no_update_is_stuck"


@dg.asset_check(asset=profile_updates.key, name=_NAME)
def no_update_is_stuck(sync: dg.ResourceParam[SyncResource]) -> dg.AssetCheckResult:
    """No update is in `sending` while no push runs."""
    state = read_outbox(sync.warehouse)
    if state is None:
        return dg.AssetCheckResult(passed=True, description="the outbox is not migrated yet")
    result = stuck_updates_evaluation(state)
    return dg.AssetCheckResult(
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def stuck_updates_evaluation(state: OutboxState) -> dg.AssetCheckEvaluation:
    """Whether an update is in `sending` while no push runs."""
    updates = counted(state.stuck, "update")
    lost = (
        f"{updates} in sending, whose response was lost: the next push sends them again, and the"
        " later updates of their clients wait until then"
    )
    return dg.AssetCheckEvaluation(
        asset_key=profile_updates.key,
        check_name=_NAME,
        passed=state.stuck == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=lost if state.stuck else None,
        metadata={"stuck": dg.MetadataValue.int(state.stuck)},
    )
