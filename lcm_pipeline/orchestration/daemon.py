"""Dagster's daemon, which ends with the `lcm ui` that started it.

`python -m lcm_pipeline.orchestration.daemon run …` takes the arguments of `dagster-daemon`.
"""

import runpy

from lcm_pipeline.orchestration.parent import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("dagster._daemon", run_name="__main__", alter_sys=True)
