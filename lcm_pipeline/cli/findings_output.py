"""What `lcm doctor` and `lcm init` print of a check."""

from lcm_pipeline.cli.output import print_line
from lcm_pipeline.doctor.findings import Finding

_NAME_WIDTH = 24


def print_finding(finding: Finding) -> None:
    """Print the state and name of a check, what it found, and what to do about it."""
    first, *others = finding.found.splitlines()
    print_line(f"{finding.state:<5} {finding.name + ':':<{_NAME_WIDTH}} {first}")
    for line in others:
        print_line(f"      {line}")
    if finding.advice:
        print_line(f"      -> {finding.advice}")
