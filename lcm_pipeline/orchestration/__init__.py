"""Owns dagster: what is synced when, in which order, and what its UI shows.

No SQL, no HTTP and no rule of the sync is here: assets call `sync` and show what it reported.

assets/               the feeds from the registry, the marts from sql/marts, the outbox
checks.py             asset checks of the feeds, the marts and the outbox
jobs.py               the jobs: syncs, the push, housekeeping
schedules.py          the daily sync and the housekeeping
sensors.py            alerts and the write-back
partitions.py         business days as partitions, and the days of a run
resources.py          the engine and the warehouse during a run, and which feeds it syncs
metadata.py           counts and previews for the UI
code_location.py      all definitions that Dagster loads
launch.py             runs days for `lcm sync`, in this process or through an executor
local_runs.py         marks runs of killed commands as failed
executors.py          where steps execute: this process, child processes, Celery, pods
celery/               the Celery executor and its workers
worker.py             serves steps, for `lcm worker`
diagnosis.py          checks the executor, for `lcm doctor`
instance.py           Dagster's home and storage
home_storage.py       the same storage for a bare `dagster` command
event_log.py          Dagster's event log, made fast for ranges of days
dagster_internals.py  everything that is used of its private API
run_logs.py           the log of a run, for `lcm logs`
retention.py          deletes old runs and expired facts
alerts.py             what is worth an alert, and sending it
ui.py                 the web server and the daemon, for `lcm ui`
program.py            the process of the web server, and that of the daemon
web.py                the web server
request_guard.py      protects the web server, which itself accepts any request
parent.py             ends a process together with the one that started it
"""

import warnings

# Dagster has called the one-run backfill a beta since 2023; users of `lcm` need not know.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy`")
