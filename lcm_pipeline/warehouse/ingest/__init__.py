"""What a sync writes: runs, tasks, staging, and the publish into core and history."""
