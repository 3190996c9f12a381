"""Owns Superset: the bundle of dashboards that is made for it, and a server of our own to try it.

Superset runs in an environment of its own, as a program: nothing of it is imported here.
"""
