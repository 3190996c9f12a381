"""The commands of `lcm`, one file each.

A file holds a function named as itself, which is the command: its docstring is the help, its
parameters are the options. Help lists the commands in the order of this table, with the first
sentence of that docstring, so that it need not import them all; a test holds the two together.
"""

HELP_LINES = {
    "demo": ("Show the whole way: a simulated programme, an embedded Postgres, a sync, an answer."),
    "init": "Ask for the settings, try them on the API and the database, and write .env.",
    "plan": "Estimate what a sync will cost: requests, time at the set rate, likely rows.",
    "sync": "Bring days into the warehouse, through Dagster, in this process.",
    "report": "Write the report of a day, a week or a month: one HTML page to mail or print.",
    "verify": "Read clients from the API again and report which differ, and in which rows.",
    "replay": "Publish quarantined rows that fit now, after the payload definition was corrected.",
    "push": (
        "Send what waits in outbox.profile_updates to the API, one update of a client at a time."
    ),
    "status": "Show, for each feed, the last complete day, its rows, and what is pending.",
    "runs": "List the newest runs: feed, days, what became of each, and why it failed.",
    "logs": "Print the log of the newest run in Dagster, or of the one that is named.",
    "doctor": "Look at all that a sync needs, and say what to do where something is wrong.",
    "metrics": "Print the state of the warehouse as OpenMetrics, write it to a file, or serve it.",
    "export": "Write a mart to a file: CSV, or Parquet with its types.",
    "sql": "Open the warehouse in psql, or in a small prompt where there is none.",
    "serve": "Keep the embedded warehouse up, and print an address for BI tools.",
    "adopt": "Say that the programme of this warehouse has moved to the address of the settings.",
    "retire": "Retire clients whom the source no longer knows: no day waits for them any more.",
    "reset": "Let the next sync read feeds or clients in full, whatever is known of them.",
    "forget": "Erase one person from every schema, and keep any sync from bringing it back.",
    "marts": "Refresh the stored marts now; each sync does it once its facts are checked.",
    "migrate": (
        "Bring the schema of the warehouse up to date, and grant the group roles what they lack."
    ),
    "docs": (
        "Write the data dictionary: every table, view and column, from the database's own comments."
    ),
    "ui": "Open Dagster's web page: assets, runs, schedules, backfills.",
    "worker": "Run steps of syncs with LCM_EXECUTOR=celery, until it is stopped.",
    "dashboards": "Open the dashboards in Superset, over the warehouse, on this machine alone.",
    "bundle": "Write the dashboards as a bundle for any Superset, from dashboards/definition.",
    "dbt": (
        "Write sources, metrics and exposures for dbt, from the database and dashboards/definition."
    ),
    "simulate": "Serve a made-up loyalty programme over HTTP, to try the pipeline on.",
}
