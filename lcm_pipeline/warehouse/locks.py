"""The advisory locks of the warehouse: their ids, and what each one protects.

Ids of one number spell "lcm" and count on; those of two numbers are a class and a member of it.
They are part of what processes of different versions share: an id never changes its meaning.
"""

# One process migrates at a time. Held by the session.
MIGRATE = 0x6C636D01
# A month's partition is made once. Held by the transaction that makes it.
PARTITIONS = 0x6C636D02
# Publishes follow each other. Held by the session, from before the transaction begins.
PUBLISH = 0x6C636D03
# Refreshes of the marts follow each other.
REFRESH = 0x6C636D04

# A run is worked on by one process: (RUN_CLASS, run_id), held by the session that owns the run.
RUN_CLASS = 0x6C636D
# One push at a time, held by the session that owns the push.
PUSH = (0x6C6370, 1)

# The slots of LCM_MAX_IN_FLIGHT are shared out by one process at a time. Held by the transaction.
REQUEST_SLOTS = 0x6C636D05
# A process may have requests in flight: (REQUEST_SLOTS_CLASS, server process), held by its session.
REQUEST_SLOTS_CLASS = 0x6C6373
