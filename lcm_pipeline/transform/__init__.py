"""Payloads to landing records: pure functions that ask nobody and keep nothing.

A row lands or is set aside with its reason; none makes a function here raise.
"""
