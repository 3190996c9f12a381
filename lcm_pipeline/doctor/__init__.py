"""Checks all that the daily load depends on, for `lcm doctor` and `lcm init`; changes nothing.

examination.py  all checks in order: settings, disk, warehouse, Dagster's storage, executor, service
warehouse.py    the warehouse: server, rights, schema, programme, completeness, marts and keys
service.py      the service: address, TLS, clock, credentials and paging
findings.py     what a check found, and what is found about clocks
"""
