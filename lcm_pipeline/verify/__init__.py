"""Checks the warehouse: against the source, and against its totals.

verify.py     reads clients again and reports the rows that differ
compare.py    rows of one table, of the source and of the warehouse
repair.py     reads the clients that differ again in full, and publishes them
reconcile.py  totals, keys, orphans and completeness, from the warehouse alone
"""
