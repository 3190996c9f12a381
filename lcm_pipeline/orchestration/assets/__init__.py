"""The assets: the feeds from the registry, the marts from sql/marts, the outbox."""
