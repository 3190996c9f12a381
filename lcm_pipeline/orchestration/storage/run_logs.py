"""The log of a run in Dagster's storage: the messages of the sync, and where the run failed."""

import re
from dataclasses import dataclass, replace

import dagster as dg

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.texts import counted, database_message
from lcm_pipeline.orchestration.storage.instance import dagster_instance, instance_home
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.transient_errors import advice_on_connections

# Dagster's messages of these do not say why.
_WITH_CAUSE = ("STEP_FAILURE", "RESOURCE_INIT_FAILURE")

# What Dagster logs of each step that it skips because an earlier one failed.
_SKIPPED = re.compile(r"Dependencies for step (\S+) .*Not executing\.")

# Whose errors have messages for the user.
_EXPLAINED = ("lcm_pipeline.", "psycopg.")


@dataclass(frozen=True)
class LogEntry:
    """One line. timestamp: Unix time in seconds. level: a level of the module logging."""

    timestamp: float
    level: int
    text: str


@dataclass(frozen=True)
class RunLog:
    """The lines of a run, oldest first."""

    run_id: str
    job_name: str
    status: str
    entries: list[LogEntry]


def read_run_log(settings: Settings, run_id: str | None, level: int) -> RunLog:
    """The log of a run, or of the newest one; raises UsageError if there is none.

    run_id: the whole id or its beginning. level: lines below it are left out.
    """
    home = instance_home(settings)
    if settings.dagster_database_url is None and not (home / "dagster.yaml").exists():
        raise UsageError(
            f"No run was recorded in {home}: run the command in the folder of its .env, or set"
            " LCM_HOME"
        )
    with dagster_instance(settings) as instance:
        run = _find(instance, run_id)
        entries = [
            LogEntry(record.timestamp, int(record.level), text)
            for record in instance.all_logs(run.run_id)
            # Some events of Dagster's queue have no message.
            if int(record.level) >= level and (text := _text(record))
        ]
        return RunLog(run.run_id, run.job_name, run.status.value.lower(), _fold_skipped(entries))


def _find(instance: dg.DagsterInstance, run_id: str | None) -> dg.DagsterRun:
    if run_id is None:
        runs = list(instance.get_runs(limit=1))
    else:
        run = instance.get_run_by_id(run_id)
        runs = [run] if run is not None else []
        runs = runs or [one for one in instance.get_runs() if one.run_id.startswith(run_id)]
    if not runs:
        problem = "No run was recorded yet" if run_id is None else f"There is no run {run_id}"
        raise UsageError(f"{problem} in Dagster's storage: see lcm runs, or lcm ui")
    return runs[0]


def _fold_skipped(entries: list[LogEntry]) -> list[LogEntry]:
    """Make one line of those about skipped steps, which would hide the line of the failure."""
    skipped = [
        (number, found[1])
        for number, entry in enumerate(entries)
        if (found := _SKIPPED.fullmatch(entry.text))
    ]
    if not skipped:
        return entries
    names = ", ".join(name for _, name in skipped)
    steps = counted(len(skipped), "step")
    first = skipped[0][0]
    folded = replace(entries[first], text=f"{steps} did not run, as an earlier one failed: {names}")
    numbers = {number for number, _ in skipped}
    return [
        folded if number == first else entry
        for number, entry in enumerate(entries)
        if number == first or number not in numbers
    ]


def failure_text(event: dg.DagsterEvent) -> str:
    """The message of the error that made a step, or a run, fail; "" if there is none.

    The outermost one with a message for the user, else the innermost: an error of the project says
    what to do, and its cause only what the operating system said.
    """
    error = getattr(event.event_specific_data, "error", None)
    chain = []
    while error is not None:
        chain.append(error)
        error = error.cause
    if not chain:
        return ""
    error = next((one for one in chain if str(one.message).startswith(_EXPLAINED)), chain[-1])
    message = str(error.message)
    # Dagster puts the path of the class first, which explains nothing where the message does.
    path, _, explanation = message.partition(f"{error.cls_name}: ")
    if error.cls_name == dg.Failure.__name__ or path.startswith(_EXPLAINED):
        message = explanation or message
    text = database_message(message)
    advice = advice_on_connections(text)
    return f"{text}. {advice}" if advice else text


def _text(record: dg.EventLogEntry) -> str:
    """The message, and the cause of a failure; without a traceback, which lcm ui shows."""
    text = record.user_message or record.message
    event = record.dagster_event
    if event is not None and event.event_type_value in _WITH_CAUSE:
        text += f" {failure_text(event)}"
    return " ".join(text.split())
