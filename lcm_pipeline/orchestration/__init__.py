"""Owns dagster: what is synced when, in which order, and what its UI shows.

No SQL, no HTTP and no rule of the sync is here: assets call `sync` and show what it reported.

assets/               the feeds from the registry, the marts from sql/marts, the outbox
checks/               asset checks of the feeds, the marts and the outbox
jobs.py               the jobs: syncs, the push, housekeeping
schedules.py          the daily sync and the housekeeping
times.py              when the daily sync starts, and should have ended
sensors.py            alerts, the write-back, and terminations
partitions.py         business days as partitions, and the days of a run
outages.py            how the daily sync waits for a service that does not respond
resources.py          the engine and the warehouse during a run, and which feeds it syncs
metadata.py           counts and previews for the UI
code_location.py      all definitions that Dagster loads
launch.py             runs days for `lcm sync`, in this process or through an executor
run_progress.py       the progress of such a run while other processes read
run_failures.py       the errors of such a run, for the command line
executors.py          where steps execute: this process, child processes, Celery, pods
celery/               the Celery executor and its workers
worker.py             serves steps, for `lcm worker`
diagnosis.py          checks the executor, for `lcm doctor`
alerts.py             what is worth an alert, and sending it
ui/                   the web server and the daemon, for `lcm ui`
storage/              Dagster's home and storage, runs of killed commands, logs, and what is deleted
event_log.py          Dagster's event log, made fast for ranges of days
home_storage.py       the same storage for a bare `dagster` command
run_launcher.py       tells the daemon whether a run is alive, and terminates those of other homes
dagster_internals.py  everything that is used of its private API

event_log.py, home_storage.py and run_launcher.py must stay where they are: dagster.yaml of each
LCM_HOME, and that of the checkout, name their classes by module.
"""

import warnings

# Dagster has called the one-run backfill a beta since 2023; users of `lcm` need not know.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy`")
