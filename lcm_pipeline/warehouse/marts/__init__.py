"""The marts: installed from sql/marts, and refreshed incrementally."""
