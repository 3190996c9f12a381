"""Superset: builds the bundle of dashboards that it imports, and runs a local server to try them.

Superset runs as a separate program in its own virtual environment; nothing here imports it.
"""
