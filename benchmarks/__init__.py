"""The benchmark: how fast, how frugal and how flat the pipeline is, beside others that do the same.

world.py         the programme that is read: every row from the seed, and the truth about all rows
api_server.py    serves it, as a process of its own; serving.py starts it and asks what it saw
measuring.py     one process measured from outside: wall, start-up, CPU, memory
contestants.py   who is measured, and how the rows of each are held against the truth
floor.py, dlt_pipeline.py, airbyte_source.py, singer_tap.py: the others
environments.py  the others' own virtual environments
profiling.py     where the time of ours goes
arena.py         where contestants run
scenarios.py     what is measured; figures.py sums up the runs, report.py writes the page

For these nothing of the pipeline is imported but the code that runs the embedded Postgres: ours is
called as a user calls it. Beside them, each run by its own `python -m benchmarks.NAME`:

grown.py         a warehouse of years, made by SQL; loading.py and growth.py measure on it
staleness.py     a year of the adaptive schedule
 `python -m benchmarks --help` lists the scenarios.
"""
