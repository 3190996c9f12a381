"""The sensor of the write-back. Off until someone turns it on, as it writes to a live service.

It never works against the brake: after a push that was stopped it waits for a person. What a push
left behind is tried again a quarter of an hour later, new updates at once.
"""

import time

import dagster as dg

from lcm_pipeline.orchestration.jobs import push_profiles
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.outbox.state import OutboxState, read_outbox

_AGAIN_SECONDS = 900


@dg.sensor(
    # By its name: given the job, Dagster makes the sensor anew and warns of a beta parameter.
    job_name=push_profiles.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Push profile updates when some are pending; waits for a person after a stop.",
)
def profile_updates_pending(_context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a push, or say why not."""
    with open_warehouse(load_settings()) as warehouse:
        state = read_outbox(warehouse)
    if state is None:
        return dg.SkipReason("the warehouse has no outbox of this version yet: run lcm migrate")
    if reason := reason_to_wait(state):
        return dg.SkipReason(reason)
    # A run that was asked for and has not begun is not asked for again within a while.
    turn = int(time.time() // _AGAIN_SECONDS)
    return dg.RunRequest(run_key=f"{state.newest_id}-{state.last_push_id or 0}-{turn}")


def reason_to_wait(state: OutboxState) -> str | None:
    """Why no push is to be started now; None when one is."""
    if not state.waiting:
        return "nothing is pending"
    if state.is_pushing:
        return "a push is at work"
    if state.last_status == "stopped":
        return (
            f"push {state.last_push_id} was stopped: look at outbox.pushes and outbox.attempts,"
            " then run lcm push by hand"
        )
    has_new = state.newest_id > state.last_update_id
    if not has_new and state.seconds_since is not None and state.seconds_since < _AGAIN_SECONDS:
        return f"{state.waiting} updates wait to be tried again"
    return None


SENSORS = [profile_updates_pending]
