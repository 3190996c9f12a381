"""The commands of `lcm`, one file each.

Each file defines a function with the file's name, which is the command: its docstring is the help,
its parameters are the options. `lcm --help` lists the commands in the order of this table, without
importing them; a test checks that each line equals the first sentence of the docstring.
"""

HELP_LINES = {
    "demo": "Run the whole pipeline on simulated data: API, embedded Postgres, sync, query.",
    "init": "Ask for the settings, test them against the API and the database, and write .env.",
    "plan": "Estimate the cost of a sync: requests, time at the configured rate, expected rows.",
    "sync": "Sync days into the warehouse, through Dagster, in this process.",
    "report": "Write the report of a day, a week or a month: one HTML page to mail or print.",
    "verify": "Read clients from the API again and report which differ, and in which rows.",
    "replay": "Let the next sync publish quarantined rows, once the payload definition is fixed.",
    "push": (
        "Send pending updates of outbox.profile_updates to the API, in order for each client."
    ),
    "status": "Show the last complete day, the rows and the pending reads of each feed.",
    "runs": "List the newest runs: feed, days, state, and the error of those that failed.",
    "logs": "Print the log of a Dagster run, by default the newest.",
    "doctor": "Check everything that a sync needs, and print how to fix what is wrong.",
    "metrics": "Print the state of the warehouse as OpenMetrics, write it to a file, or serve it.",
    "export": "Write a mart to a file: CSV, or Parquet with its types.",
    "sql": "Open the warehouse in psql, or in a simple prompt if psql is not installed.",
    "serve": "Keep the embedded warehouse running, and print an address for BI tools.",
    "adopt": "Record that this warehouse's programme has moved to the address in the settings.",
    "retire": "Retire clients that the source no longer knows, so that no day waits for them.",
    "reset": "Make the next sync read feeds or clients in full, even if they are up to date.",
    "disclose": (
        "Write everything that the warehouse stores about one person, to answer a request for"
        " access."
    ),
    "forget": "Erase one person from every schema, and keep syncs from loading their data again.",
    "pseudonymize": "Hash the stored phones and cards with a key that was added.",
    "retention": "Show what is older than LCM_RETENTION_MONTHS, or remove it with --apply.",
    "marts": "Refresh the stored marts now; each sync does so after its checks.",
    "migrate": (
        "Upgrade the schema of the warehouse, and grant the group roles any missing privileges."
    ),
    "upgrade-home": "Upgrade the embedded Postgres of LCM_HOME to the installed major version.",
    "docs": "Write the data dictionary: every table, view and column, with its comment.",
    "ui": "Run Dagster's web interface: assets, runs, schedules, backfills.",
    "worker": "Run steps of syncs with LCM_EXECUTOR=celery, until stopped.",
    "dashboards": "Run Superset with the dashboards of the warehouse, on this machine only.",
    "bundle": "Write the dashboards as a bundle for any Superset, from dashboards/definition.",
    "dbt": (
        "Write sources, metrics and exposures for dbt, from the database and dashboards/definition."
    ),
    "simulate": "Serve a simulated loyalty programme over HTTP, to try the pipeline.",
}

# Commands that store what they have done so far: the same command continues after an interruption.
RESUMABLE = frozenset({"sync", "push", "forget", "pseudonymize", "retention", "migrate"})
