"""The `lcm` command as a user runs it: in a process and an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

LCM = Path(sys.executable).with_name("lcm")


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    # PYTHONPATH, if set, selects the checkout whose code is tested.
    passed_on = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    own = {"HOME": str(tmp_path), "LCM_HOME": str(tmp_path / "home")}
    return {**passed_on, **own, **variables}


def run(
    tmp_path: Path, *words: str, timeout: float = 120, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LCM, *words],
        env=environment(tmp_path, **variables),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_report(tmp_path: Path, database_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run(tmp_path, "report", *words, LCM_DATABASE_URL=database_url, LCM_LANGUAGE="en")
