"""The vocabulary: what the API sends and takes, what the warehouse holds. Imports nothing of ours."""
