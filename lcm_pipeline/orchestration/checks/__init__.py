"""The asset checks: of the feeds after a run, of the marts, and of the outbox."""
