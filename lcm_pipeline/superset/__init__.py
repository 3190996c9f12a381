"""Superset: builds the bundle of dashboards that it imports, and runs a local server to try them.

Superset runs as a separate program in its own virtual environment; nothing here imports it.

definition.py   reads and checks dashboards/definition
bundle.py       the files of the bundle, from the definition and the marts of a warehouse
datasets.py     a mart as a dataset
charts.py       the parameters of a chart, by its kind
series.py       of line, bar and area charts
tables.py       of tables and heat maps
formats.py      the formats of numbers and days, for d3 and Postgres
pages.py        the layout of a dashboard, and its filters
archive.py      writes the bundle as a folder or a zip
server.py       a local Superset
dbt_package.py  the sources, metrics and exposures of the dbt package
"""
