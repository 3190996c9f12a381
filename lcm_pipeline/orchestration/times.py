"""When yesterday is synced, and when it should be complete: hours in the programme's time zone."""

SYNC_HOUR = 6
# A sync that starts then, and its retries, should have ended by then.
COMPLETE_BY_HOUR = 9
