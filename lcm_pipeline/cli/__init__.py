"""The `lcm` command: parses, calls, prints, and turns what went wrong into a line and an exit code.

main.py          the app, and what ends the process
lazy_group.py    imports the module of the command that is called, and no other
commands/        one file a command, named after it
options.py       options that commands share
warehouse.py     how commands open the warehouse
output.py        tables for the terminal;  json_output.py  for machines
sync_log.py      lines with times;  progress_bar.py  bars on a terminal
failures.py      exit codes
"""

from lcm_pipeline.cli.main import app, main

__all__ = ["app", "main"]
