"""The `lcm` command: parses options, calls the package, prints, and maps errors to exit codes.

main.py          the Typer app and the entry point
lazy_group.py    imports the module of the called command only
commands/        one file per command, named after it
options.py       options that commands share;  feed_options.py  those that need the feeds
warehouse.py     how commands open the warehouse
output.py        lines and tables for the terminal;  json_output.py  output for machines
results.py       what a sync and a verification found, for all commands that print it
status_output.py, push_output.py  what these commands print;  findings_output.py  what checks found
progress_log.py  log lines with times;  log_format.py  what they have in common with warnings
progress_bar.py  bars on a terminal;  marts_progress.py  lines about marts that take long
failures.py      exit codes and error messages;  prompts.py  questions
"""

import sys

try:
    from lcm_pipeline.cli.main import app, main
except KeyboardInterrupt:
    # Ctrl-C right after the start: main() is not there yet to report it.
    print("lcm: Interrupted.", file=sys.stderr)
    sys.exit(130)

__all__ = ["app", "main"]
