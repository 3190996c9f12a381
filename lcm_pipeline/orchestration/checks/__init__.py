"""The asset checks.

feeds.py    of the feeds, after a run
marts.py    of the marts
outbox.py   of the outbox, after each push
results.py  all of them, and those whose last result is a failure
"""
