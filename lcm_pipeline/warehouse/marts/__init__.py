"""The marts: installed from sql/marts and refreshed with what changed."""
