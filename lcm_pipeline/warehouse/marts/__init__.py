"""The marts: installed from sql/marts, and refreshed incrementally.

definitions.py    one file of sql/marts: what it reads, how it is refreshed
install.py        creates new and changed marts
refresh.py        the refresh of all marts, in one transaction
incremental.py    which part of a table is computed, by the unit of its mart
scope.py          the clients to compute, and what else changed
affected_days.py  the days to compute
sums.py           what clients contribute to sums
differences.py    writes only the rows that differ
progress.py       a line for marts that take long
"""
