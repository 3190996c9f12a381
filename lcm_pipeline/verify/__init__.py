"""Checks the warehouse: against the source, against its totals, and all that a sync depends on.

verify.py     reads clients again and reports the rows that differ
compare.py    rows of one table, of the source and of the warehouse
repair.py     reads the clients that differ again in full, and publishes them
reconcile.py  totals, keys, orphans and completeness, from the warehouse alone
doctor.py     settings, disk, warehouse and Dagster, for `lcm doctor`
service_checks.py  the service, for `lcm doctor`;  findings.py  what a check found
"""
