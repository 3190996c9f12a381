"""What a sync writes: runs, tasks, staging, and the publish into core and history.

runs.py        commands and runs: begin, join, leave, end
schedule.py    which clients are due
tasks.py       the ledger: tasks, claims and outcomes
staging.py     the rows that were read, until they are published
publish.py     checks the readings, and makes everything visible at once
fuses.py       stops a publish that would delete or add too much
merge.py       the statements of a publish for each table of `model.tables`
state.py       what a run has to know before it reads
resets.py      makes the next sync read clients and days in full
retirement.py  retires clients by hand
watching.py    what the processes of a command do, for its progress
cost.py        what earlier readings cost, for `lcm plan`
live_rows.py   live rows of core, for `lcm verify`
"""
