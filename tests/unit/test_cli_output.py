"""What the tables of the commands show on terminals of any width."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import environment

PROBE = """
from lcm_pipeline.cli import output
output.console = output.Console(width={width}, color_system=None)
table = output.new_table("feed", "complete\\nthrough", "rows\\nheld")
table.add_row("registrations", "2026-11-28", "20,345,678")
output.print_table(table)
"""


@pytest.mark.parametrize("width", [10, 20, 35, 80])
def test_no_value_of_a_table_is_cut_short(tmp_path: Path, width: int) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", PROBE.replace("{width}", str(width))],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.splitlines()[-1].split() == ["registrations", "2026-11-28", "20,345,678"]
