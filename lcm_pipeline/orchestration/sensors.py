"""The sensors: alerts, running where LCM_ALERT_URLS is set, the write-back, and terminations.

The sensor of the write-back is off until it is turned on, as it writes to a live service.
After a push that was stopped it waits for a person. Updates that a push left pending are retried a
quarter of an hour later, new updates at once.
"""

import time
from datetime import UTC, datetime

import dagster as dg
import msgspec

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.texts import counted
from lcm_pipeline.orchestration.alerts import (
    Alert,
    AlertError,
    Snapshot,
    compare,
    send,
    take_snapshot,
)
from lcm_pipeline.orchestration.assets.feeds import FEED_ASSETS
from lcm_pipeline.orchestration.assets.marts import MARTS
from lcm_pipeline.orchestration.checks.results import failed_checks
from lcm_pipeline.orchestration.jobs import JOBS, push_profiles
from lcm_pipeline.orchestration.partitions import tagged_days
from lcm_pipeline.orchestration.times import COMPLETE_BY_HOUR
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.errors import NothingSyncedError
from lcm_pipeline.warehouse.outbox.state import OutboxState, read_outbox
from lcm_pipeline.warehouse.status import read_status, read_unknown_fields

_AGAIN_SECONDS = 900
_OWN_JOBS = {job.name for job in JOBS}
_OWN_ASSETS = {key for definition in (*FEED_ASSETS, *MARTS) for key in definition.keys}
# Setting LCM_ALERT_URLS turns the alerts on. Read at import, like the partitions.
_ALERTING = (
    dg.DefaultSensorStatus.RUNNING
    if load_settings().alert_urls is not None
    else dg.DefaultSensorStatus.STOPPED
)


@dg.sensor(
    # By name: given the job itself, Dagster rebuilds the sensor and warns of a beta parameter.
    job_name=push_profiles.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Push profile updates when some are pending; waits for a person after a stop.",
)
def profile_updates_pending(_context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request a push, or skip with the reason."""
    with open_warehouse(load_settings()) as warehouse:
        state = read_outbox(warehouse)
    if state is None:
        return dg.SkipReason("the warehouse has no outbox of this version yet: run lcm migrate")
    if reason := reason_to_wait(state):
        return dg.SkipReason(reason)
    # Within this period, a run that was requested and has not begun is not requested again.
    period = int(time.time() // _AGAIN_SECONDS)
    confirmation = {"send_profile_updates": {"config": {"confirm": state.newest_id}}}
    return dg.RunRequest(
        run_key=f"{state.newest_id}-{state.last_push_id or 0}-{period}",
        run_config={"ops": confirmation},
    )


def reason_to_wait(state: OutboxState) -> str | None:
    """Why no push should start now; None if one should."""
    if not state.waiting:
        return "nothing is pending"
    if state.is_pushing:
        return "a push is running"
    if state.last_status == "stopped":
        return (
            f"push {state.last_push_id} was stopped: see outbox.pushes and outbox.attempts,"
            " then run lcm push by hand"
        )
    has_new = state.newest_id > state.last_update_id
    if not has_new and state.seconds_since is not None and state.seconds_since < _AGAIN_SECONDS:
        waiting = counted(state.waiting, "update waits for its", "updates wait for their")
        return f"{waiting} next attempt"
    return None


@dg.run_failure_sensor(
    name="alert_on_failed_run",
    # Dagster takes a run of `lcm sync`, which it did not launch, for one of no code location.
    monitor_all_code_locations=True,
    default_status=_ALERTING,
    description="Alert (LCM_ALERT_URLS) when a run of a sync or a push failed for good.",
)
def alert_on_failed_run(context: dg.RunFailureSensorContext) -> None:
    """Name the job, the step and the run. The reason stays in the log: it may be confidential."""
    run = context.dagster_run
    # Of a run that Dagster retries, only the last attempt is reported.
    will_retry = run.tags.get("dagster/will_retry") == "true"
    if will_retry or not _is_own(run) or _is_interrupted(context):
        return
    steps = [event.step_key for event in context.get_step_failure_events() if event.step_key]
    first, last = tagged_days(run)
    days = first if first == last else f"{first}...{last}"
    alert = Alert(
        f"{run.job_name} failed" + (f" for {days}" if days else ""),
        f"Run {run.run_id}, in {', '.join(steps) or 'no step'}. What was read is kept. lcm logs"
        f" {run.run_id[:8]} shows why; the same sync resumes the run.",
    )
    try:
        send(load_settings(), [alert])
    except AlertError as error:
        if not error.received:
            # After any error but its own, Dagster moves on to the next run, and this alert is lost.
            raise dg.DagsterInvariantViolationError(str(error)) from error
        context.log.warning(str(error))


def _is_own(run: dg.DagsterRun) -> bool:
    """Whether a run is of this code location or of a command, not of another code location."""
    return run.job_name in _OWN_JOBS or not _OWN_ASSETS.isdisjoint(run.asset_selection or ())


def _is_interrupted(context: dg.RunFailureSensorContext) -> bool:
    """Whether a person ended the run with Ctrl-C."""
    failures = [event.step_failure_data.error for event in context.get_step_failure_events()]
    failures.append(context.failure_event.job_failure_data.error)
    interrupted = dg.DagsterExecutionInterruptedError.__name__
    return any(error is not None and error.cls_name == interrupted for error in failures)


@dg.sensor(
    name="alert_on_state",
    minimum_interval_seconds=600,
    default_status=_ALERTING,
    description=f"Alert (LCM_ALERT_URLS) when yesterday is not complete by {COMPLETE_BY_HOUR:02}:00"
    ", pending or quarantine grows, a check failed that blocks nothing, the service sends unknown"
    " fields, a fuse stopped a run, the disk is nearly full, or the warehouse cannot be read.",
)
def alert_on_state(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Compare the state with that of the last evaluation, and send what got worse."""
    settings = load_settings()
    before = Snapshot.from_cursor(context.cursor) or Snapshot()
    failed = failed_checks(context.instance, before.failed_checks)
    try:
        with open_warehouse(settings, is_read_only=True) as warehouse:
            status = read_status(warehouse)
            unknown = read_unknown_fields(warehouse)
        now = take_snapshot(settings, status, unknown, failed, before, datetime.now(UTC))
    except NothingSyncedError as nothing:
        return dg.SkipReason(str(nothing).splitlines()[0])
    except UserError as error:
        context.log.warning(str(error))
        now = msgspec.structs.replace(before, is_unreadable=True)
    alerts = list(compare(before, now))
    result = f"sent {counted(len(alerts), 'alert')}" if alerts else "nothing got worse"
    try:
        send(settings, alerts)
    except AlertError as error:
        if not error.received:
            raise
        context.log.warning(str(error))
        result = str(error)
        # What nobody has received is compared, and sent, again; the rest would be repeated.
        missed = [alert.field for alert in alerts if alert not in error.received]
        now = msgspec.structs.replace(now, **{field: getattr(before, field) for field in missed})
    context.update_cursor(now.as_cursor())
    return dg.SkipReason(result)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELING,
    name="terminate_canceling_run",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Terminate a run that a web server on another machine was told to terminate.",
)
def terminate_canceling_run(context: dg.RunStatusSensorContext) -> None:
    """Ask the process of the run to end. Kubernetes' launcher reaches its runs from anywhere."""
    # It imports grpc, which a command that loads the definitions does not need.
    from lcm_pipeline.orchestration.run_launcher import WatchedRunLauncher

    launcher = context.instance.run_launcher
    if isinstance(launcher, WatchedRunLauncher):
        launcher.terminate_canceling(context.dagster_run)


SENSORS = [profile_updates_pending, alert_on_failed_run, alert_on_state, terminate_canceling_run]
