"""The errors of a run of Dagster, as the command line reports them."""

from collections.abc import Sequence

import dagster as dg

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.errors import PartialSuccessError, UserError
from lcm_pipeline.orchestration.storage.run_logs import failure_text
from lcm_pipeline.sync.report import SyncReport


class RunFailedError(UserError):
    """The run failed outside the sync itself; the message names the step."""


class DaysSyncedError(UserError):
    """The days are synced, but not all is well with them. reports: what was done."""

    def __init__(self, message: str, reports: list[SyncReport]) -> None:
        super().__init__(message)
        self.reports = reports


class BlockingChecksFailedError(DaysSyncedError):
    """Totals differ, so marts are blocked."""


class OtherChecksFailedError(DaysSyncedError, PartialSuccessError):
    """A check failed that blocks no marts."""


class OldMartsError(DaysSyncedError, PartialSuccessError):
    """The marts are those of an older version: views of users read them."""

    def __init__(self, reports: list[SyncReport]) -> None:
        super().__init__(
            "the facts are synced; the marts are those of an older version and were left as they"
            " are. lcm migrate names the views that depend on them",
            reports,
        )


def raise_failure(
    result: dg.ExecuteInProcessResult | dg.JobExecutionResult,
    reports: list[SyncReport],
    errors: Sequence[BaseException],
    feeds: Sequence[str] | None = None,
    not_begun: Sequence[dg.DagsterEvent] = (),
) -> None:
    """Raise the error of a run that failed or was interrupted, or of a check that failed in it.

    errors: what the engine raised, where it ran in this process; the first is raised as it is.
    feeds: the feeds of the run; None for all. not_begun: the failures of steps that could not
    begin on a worker of Celery, whose causes the result does not have.
    """
    if any(isinstance(error, dg.DagsterExecutionInterruptedError) for error in errors):
        raise KeyboardInterrupt
    failed = _failure_of_run(result)
    if failed is not None and failed[0] == dg.DagsterExecutionInterruptedError.__name__:
        raise KeyboardInterrupt
    if errors:
        first, *others = errors
        for other in others:
            first.add_note(f"also failed: {other}")
        raise first
    _raise_failed_checks(result, reports)
    if not result.success:
        failures = [event for event in result.all_events if event.is_step_failure] or not_begun
        reason = "; ".join(_step_failure_text(event, result.all_events) for event in failures) or (
            failed[1] if failed else ""
        )
        unpublished = {feed.name for feed in FEEDS} if feeds is None else set(feeds)
        unpublished -= {report.feed for report in reports}
        # Its command is finished: once more, it would read all clients again.
        advice = (
            "What was read is kept: run the same command again to go on"
            if unpublished
            else "All feeds are published: lcm marts refreshes the marts"
        )
        raise RunFailedError(f"{reason or 'the Dagster run failed'}. {advice}")


def _raise_failed_checks(
    result: dg.ExecuteInProcessResult | dg.JobExecutionResult, reports: list[SyncReport]
) -> None:
    failed = [
        check.description or f"{check.asset_key.to_user_string()}: {check.check_name}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    ]
    if not failed:
        return
    problem = "The warehouse does not add up: " + "; ".join(failed)
    again = "lcm verify --all --fix reads again what differs from the source"
    if result.success:
        raise OtherChecksFailedError(f"{problem}. This blocks no marts; {again}", reports)
    raise BlockingChecksFailedError(
        f"{problem}. The marts that are built on them keep their rows; {again}", reports
    )


def _failure_of_run(
    result: dg.ExecuteInProcessResult | dg.JobExecutionResult,
) -> tuple[str, str] | None:
    """The class and message of an error of the run as a whole; None if a step failed."""
    for event in result.all_events:
        if event.event_type is dg.DagsterEventType.RUN_FAILURE:
            error = event.job_failure_data.error
            if error is None:
                return None
            # Dagster puts the path of the class first, and appends the stack of a Celery worker.
            message = error.message.partition("\nStack Trace")[0].strip()
            return error.cls_name or "", message.partition(f"{error.cls_name}: ")[2] or message
    return None


def _step_failure_text(event: dg.DagsterEvent, all_events: Sequence[dg.DagsterEvent]) -> str:
    for other in all_events:
        # The failure of a step whose process was killed has no message; another event has the
        # signal, and the advice to find more memory.
        _, found, signal = (other.message or "").partition(
            f"child process for step {event.step_key}"
        )
        if found:
            return f"{event.step_key}: its process{signal.partition(' Possible')[0].rstrip('.')}"
    return f"{event.step_key}: {failure_text(event) or 'failed'}"
