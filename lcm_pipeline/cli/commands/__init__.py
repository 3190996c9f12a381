"""The commands of `lcm`, one file each.

A file holds a function named as itself, which is the command: its docstring is the help, its
parameters are the options. Help lists the commands in the order of this table, with the first
sentence of that docstring, so that it need not import them all; a test holds the two together.
"""

HELP_LINES = {
    "demo": ("Show the whole way: a simulated programme, an embedded Postgres, a sync, an answer."),
    "plan": "Say beforehand what a sync will cost: requests, time at the set rate, likely rows.",
    "sync": "Bring days into the warehouse, through Dagster, in this process.",
    "report": (
        "Write the report of a day: one HTML page to mail or print, that needs no network to open."
    ),
    "verify": "Ask the API again and say which clients differ, and by which rows.",
    "replay": "Take in quarantined rows that fit by now, after the contract was mended.",
    "push": (
        "Send what waits in outbox.profile_updates to the API, one update of a client at a time."
    ),
    "status": "Say, for each table, through which day it is complete, its rows, what is pending.",
    "marts": "Refresh the stored marts now; each sync does it once its facts are checked.",
    "migrate": (
        "Bring the schema of the warehouse up to date, and grant the group roles what they lack."
    ),
    "docs": (
        "Write the data dictionary: every table, view and column, from the database's own comments."
    ),
    "ui": "Open Dagster's web page: assets, runs, schedules, backfills.",
    "dashboards": "Open the dashboards in Superset, over the warehouse, on this machine alone.",
    "bundle": "Write the dashboards as a bundle for any Superset, from dashboards/definition.",
    "simulate": "Serve a made-up loyalty programme over HTTP, to try the pipeline on.",
}
