"""The outbox of profile updates: loading, claiming, finishing and undoing them."""
