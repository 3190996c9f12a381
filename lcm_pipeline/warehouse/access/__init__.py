"""Reading the warehouse: who may, and how.

rights.py         checks the rights of the user, and names the statements that grant missing ones
bi_logins.py      a login for dashboards
serving.py        the embedded server on a port, for BI tools
shell.py          interactive SQL
export.py         a mart as a file;  frames.py  query results as data frames
mart_snapshot.py  what both read from, in one snapshot
dictionary.py     the data dictionary;  sample_rows.py  rows to show in Dagster
"""
