"""The sync engine: roster, reading, resuming, publishing, reconciling. Knows no Dagster."""
