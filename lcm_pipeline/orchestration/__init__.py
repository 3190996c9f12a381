"""Owns dagster: what is synced when, in which order, and what is shown of it.

No SQL, no HTTP and no rule of the sync lives here: assets call `sync` and say what it reported.
"""

import warnings

# Dagster calls the one-run backfill a beta since 2023; a terminal is no place to say so.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy`")
