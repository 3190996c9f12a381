"""The vocabulary: what the API sends and takes, what the warehouse holds; imports none of ours."""
