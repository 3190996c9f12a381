"""Checks all that the daily load depends on, for `lcm doctor` and `lcm init`; changes nothing.

examination.py  all checks in order: settings, disk, warehouse, Dagster's storage, executor, service
service.py      the service: address, TLS, clock, credentials and paging
findings.py     what a check found
"""
