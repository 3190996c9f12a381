"""`lcm sql`: run SQL in the warehouse, embedded or not, as lcm_analyst by default."""

import csv
import errno
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from lcm_pipeline.cli.commands.serve import (
    DEFAULT_PORT,
    Reader,
    require_embedded,
    serve_until_stopped,
)
from lcm_pipeline.cli.failures import FAILED, print_message
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.processes import handling_signals
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.access.shell import (
    StatementError,
    execute,
    find_psql,
    open_shell,
    psql_command,
    role_settings,
)
from lcm_pipeline.warehouse.connection import Session, Warehouse, open_warehouse, require_existing


def sql(
    statement: Annotated[
        str | None,
        typer.Option("-c", "--command", metavar="SQL", help="Run this statement, and exit."),
    ] = None,
    as_owner: Annotated[
        bool,
        typer.Option(
            "--as-owner",
            help="Run as the owner of the warehouse, who may write, not as lcm_analyst.",
        ),
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Afterwards keep the embedded server running, like lcm serve."),
    ] = False,
) -> None:
    """Open the warehouse in psql, or in a simple prompt if psql is not installed.

    Statements run as lcm_analyst, which may read core, history and mart. With --as-owner they may
    write, for example to edit mart.parameters or to fill the outbox. Statements can also come from
    a file or a pipe. Exit code 1 means that a statement failed.

    A BI tool needs a running server: lcm serve provides it, and --keep does so after the last
    statement, with a login as lcm_analyst.

    Examples: [bold]lcm sql -c "select * from mart.program_daily"[/bold],
    [bold]lcm sql --as-owner < updates.sql[/bold]
    """
    settings = load_settings()
    if keep:
        require_embedded(settings, "lcm sql --keep")
    require_existing(settings)
    with (
        existing_warehouse(settings)
        if keep
        else open_warehouse(settings, is_read_only=not as_owner)
    ) as warehouse:
        role = role_settings(warehouse, as_owner=as_owner)
        if statement is None and sys.stdin.isatty():
            who = role.get("role") or ("the user itself" if as_owner else "a user who only reads")
            print(f"{warehouse.location}, as {who}", file=sys.stderr)
        psql = find_psql()
        if psql is None:
            code = _prompt(warehouse, role, statement)
        else:
            options = ["--csv"] if as_csv else []
            if statement is not None:
                options += ["--command", statement]
            words, environment = psql_command(psql, warehouse, role, options)
            # psql itself cancels its statement, and the embedded server must not stop.
            with handling_signals({signal.SIGINT: signal.SIG_IGN}):
                ended = subprocess.run(words, env=environment, check=False)  # noqa: S603 - psql
            code = ended.returncode
        if code:
            raise typer.Exit(FAILED)
        if keep:
            _keep_up(settings, warehouse)


def _keep_up(settings: Settings, warehouse: Warehouse) -> None:
    """Serve on the port of `lcm serve`, or on a free one if another program uses it."""
    try:
        serve_until_stopped(settings, warehouse, Reader.ANALYST, DEFAULT_PORT)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        serve_until_stopped(settings, warehouse, Reader.ANALYST, 0)


def _prompt(warehouse: Warehouse, role: dict[str, str], statement: str | None) -> int:
    """Run the given statement, or those typed, each up to its semicolon; return the exit code."""
    with open_shell(warehouse, role) as session:
        if statement is not None:
            return _run(session, statement)
        is_terminal = sys.stdin.isatty()
        if is_terminal:
            # Only for its effect: it gives input() a history and editing keys.
            import readline  # noqa: F401
        failures = 0
        for typed in _typed(is_terminal=is_terminal):
            failures += _run(session, typed)
            if failures and not is_terminal:
                break
        return 0 if is_terminal else failures


def _typed(*, is_terminal: bool) -> Iterator[str]:
    lines: list[str] = []
    while True:
        try:
            line = input(("lcm> " if not lines else "...> ") if is_terminal else "")
        except EOFError:
            if "".join(lines).strip():
                yield "\n".join(lines)
            return
        if not lines and line.strip() in ("quit", "exit", "\\q"):
            return
        lines.append(line)
        if line.rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []


def _run(session: Session, statement: str) -> int:
    try:
        result = execute(session, statement)
    except StatementError as error:
        print_message(str(error))
        return 1
    if result.columns:
        writer = csv.writer(sys.stdout)
        writer.writerow(result.columns)
        writer.writerows(result.rows)
    else:
        print(result.status)
    return 0
