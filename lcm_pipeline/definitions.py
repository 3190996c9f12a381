"""What `dagster` loads: the code location, see `workspace.yaml`."""

from lcm_pipeline.orchestration.code_location import build_definitions

defs = build_definitions()
