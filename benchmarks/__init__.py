"""The benchmark: speed, cost and scaling of the pipeline, compared with other tools.

world.py         the programme that is read: every row made from the seed, and the expected totals
api_server.py    serves it in a separate process; serving.py starts it and fetches its statistics
measuring.py     measures one process from outside: wall, start-up, CPU, memory
contestants.py   what is measured, and how the rows of each are compared with the expected totals
floor.py, dlt_pipeline.py, airbyte_source.py, singer_tap.py: the others
environments.py  the virtual environments of the others
profiling.py     where the pipeline spends its time
arena.py         where contestants run
scenarios.py     what is measured; figures.py summarizes the runs, report.py writes the page

These import nothing of the pipeline except the code that runs the embedded Postgres: the pipeline
is called as a user calls it. Others are run with `python -m benchmarks.NAME`:

grown.py         a warehouse with years of data, made by SQL; loading.py and growth.py use it
staleness.py     a simulated year of the adaptive schedule

`python -m benchmarks --help` lists the scenarios.
"""
