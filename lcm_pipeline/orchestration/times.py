"""When yesterday is synced, and when it should be complete: hours in the programme's time zone."""

SYNC_HOUR = 6
# Until then the daily sync waits for a service that does not respond.
COMPLETE_BY_HOUR = 9
