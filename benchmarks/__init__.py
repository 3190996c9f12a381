"""What `python -m benchmarks.…` measures; each module says what and how."""
