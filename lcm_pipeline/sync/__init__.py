"""The sync engine: which clients and days a run reads, reading them, and the run. Knows no Dagster.

In the order in which a sync passes through them:

engine.py           syncs feeds for a window, in one call or as start, read and publish
concurrency.py      several feeds in a background thread, each with a report to wait for
context.py          what feeds that are read concurrently share: connections, limits, slots
roster.py           which registration days a run polls, and how often it reads clients
feed_runs.py        begins, joins and finds the runs of a feed for a window
run.py              one run of a feed: adds its tasks, reads them, publishes
ledger.py           the tasks of a run: claims them, records their outcomes
paging_checks.py    how the endpoint of a run pages, and whether its largest page has all rows
fan_out.py          many tasks read concurrently, each saved before its slot is released
service_monitor.py  distinguishes an outage from a group of tasks that the service rejects
client.py           one client of a feed: from a task to an outcome for staging
goods.py            the goods of a client's offers
registrations.py    one registration day, polled in one period or in smaller ones
source.py           what a reading depends on: the API, how it pages, the window
report.py           what a sync of a feed did
shared_limits.py    the limits over all processes, and their priorities
shared_pace.py      LCM_MAX_RPS over all processes
shared_slots.py     LCM_MAX_IN_FLIGHT over all processes
plan.py             estimates the cost of a window
scale.py            estimates the cost of a programme of any size
progress.py         how a sync or a push reports its progress
gathering.py        awaits several calls concurrently
threads.py          blocking work in a thread that never outlives its caller
errors.py           the errors that end a sync early
"""
