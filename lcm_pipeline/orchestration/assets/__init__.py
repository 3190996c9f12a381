"""The assets.

feeds.py            the feeds, from the registry
marts.py            the marts, from sql/marts
profile_updates.py  the outbox
"""
