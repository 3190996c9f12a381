"""Compares the warehouse with the source again, and repairs what differs."""
