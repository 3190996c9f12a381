"""The virtual environments of the other contestants: made once, from pinned requirements.

They are in .bench/environments, which git ignores. They are separate because their libraries
conflict with ours.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.serving import ROOT

_HERE = Path(__file__).resolve().parent
WORK_FOLDER = ROOT / ".bench"


def python_of(name: str) -> str:
    """The Python of the environment of benchmarks/requirements/NAME.txt; made if it is missing."""
    requirements = _HERE / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = WORK_FOLDER / "environments" / f"{name}-{digest}"
    interpreter = folder / "bin" / "python"
    if not (folder / ".made").exists():
        print(f"making the environment of {name} …", flush=True)
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(interpreter), "-m", "pip", "install", "--quiet", "-r", str(requirements))
        (folder / ".made").touch()
    return str(interpreter)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
