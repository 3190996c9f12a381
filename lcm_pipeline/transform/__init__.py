"""Payloads to landing records: pure functions without I/O or state.

A row becomes a record or is set aside with a reason; no row makes a function here raise.
"""
