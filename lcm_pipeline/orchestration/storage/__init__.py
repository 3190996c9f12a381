"""Dagster's home and storage, and what is recorded there of runs.

instance.py    Dagster's home, and the instance that the settings describe
local_runs.py  marks runs of killed commands as failed
run_logs.py    the log of a run, for `lcm logs`
retention.py   deletes old runs and expired facts

The classes of the storage are in orchestration.event_log and orchestration.home_storage: files
named dagster.yaml name them by their modules.
"""
