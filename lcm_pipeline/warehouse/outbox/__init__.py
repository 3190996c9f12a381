"""The outbox of profile updates: loading, claiming, finishing and undoing them.

load.py       rows of a file into the outbox
waiting.py    updates that wait, and what is known of their clients
push_lock.py  one push at a time, and syncs first
pushes.py     a push: begin and end, with its counts
updates.py    claims an update before its request, finishes it after the response
undo.py       the updates that restore what was known before a push
state.py      the state of the outbox, for sensors and checks
"""
