"""`lcm init`: ask for the settings, test them, and write .env."""

import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from lcm_pipeline.cli.failures import FAILED
from lcm_pipeline.cli.findings_output import print_finding
from lcm_pipeline.cli.output import print_line
from lcm_pipeline.cli.prompts import needing_a_terminal
from lcm_pipeline.doctor.examination import examine
from lcm_pipeline.doctor.findings import State
from lcm_pipeline.files import replacing
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings import (
    DEFAULT_TIMEZONE,
    LITERAL_DOLLAR,
    Settings,
    SettingsError,
    load_settings,
)

_FILE, _BACKUP = Path(".env"), Path(".env.bak")


def init(
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing .env, which is kept as .env.bak.")
    ] = False,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Write .env even if a check fails.")
    ] = False,
) -> None:
    """Ask for the settings, test them against the API and the database, and write .env.

    Nothing is written if a check fails. Secrets are not shown. All other settings have defaults:
    see .env.example.
    """
    if _FILE.exists() and not force:
        raise UsageError(
            f"{_FILE.absolute()} already exists: edit it, or replace it with lcm init --force"
        )
    is_replaced = _FILE.exists()
    if is_replaced:
        # Moved away first, so that its settings do not mix with the answers.
        _FILE.replace(_BACKUP)
    try:
        answers = _ask()
        typer.echo("\nTesting them:")
        if _has_failures(load_settings(**answers)) and not unchecked:
            typer.echo("\nNothing was written: run lcm init again, or with --unchecked")
            raise typer.Exit(FAILED)
        _write(answers)
    finally:
        if is_replaced and not _FILE.exists():
            _BACKUP.replace(_FILE)
    typer.echo(
        f"\nwrote {_FILE.absolute()}. Next: lcm plan --from DAY --to DAY, then lcm sync --missing"
    )


def _ask() -> dict[str, Any]:
    """Return the answers by setting name, without those that were left empty."""
    answers: dict[str, Any] = {}
    answers["api_url"] = _ask_for("api_url", "Address of the service, with the tenant's path")
    answers["operator"] = _ask_for("operator", "Operator id (empty: none)", is_optional=True)
    answers["token"] = _ask_for(
        "token", "Token (hidden; empty: none)", is_optional=True, is_secret=True
    )
    if answers["token"] is None:
        answers["username"] = _ask_for("username", "User of ManagerLogin (empty: none)",
                                       is_optional=True)  # fmt: skip
        if answers["username"] is not None:
            answers["password"] = _ask_for("password", "Password (hidden)", is_secret=True)
        else:
            answers["site_code"] = _ask_for(
                "site_code", "SiteCode of a widget (hidden; empty: none)",
                is_optional=True, is_secret=True,
            )  # fmt: skip
    answers["start_date"] = _ask_for("start_date", "First day of the programme, such as 2024-01-31")
    answers["timezone"] = _ask_for("timezone", "Time zone of the business day",
                                   default=DEFAULT_TIMEZONE)  # fmt: skip
    answers["database_url"] = _ask_for(
        "database_url",
        "Warehouse, postgresql://… (hidden; empty: an embedded Postgres in .lcm)",
        is_optional=True,
        is_secret=True,
    )
    return {name: value for name, value in answers.items() if value is not None}


def _ask_for(
    name: str,
    question: str,
    *,
    default: str = "",
    is_optional: bool = False,
    is_secret: bool = False,
) -> str | None:
    """Ask until the answer is a valid value of the setting; None if it is empty."""
    while True:
        answer = _prompt(question, default=default, is_secret=is_secret)
        if not answer and is_optional:
            return None
        if not answer:
            print_line("  a value is required")
            continue
        try:
            if name == "start_date":
                date.fromisoformat(answer)
            # Neither is valid without the other.
            others = {"username": "password", "password": "username"}
            pair = {others[name]: "-"} if name in others else {}
            load_settings(**{name: answer}, **pair)
        except SettingsError as error:
            print_line(f"  {error}")
        except ValueError:
            print_line("  expected a day such as 2024-01-31")
        else:
            return answer


def _prompt(question: str, *, default: str = "", is_secret: bool = False) -> str:
    # Without a terminal the answers come from a file or a pipe, which has no echo to hide.
    is_hidden = is_secret and sys.stdin.isatty()
    with needing_a_terminal(
        f"nothing was written: there is no terminal to ask on, and no answer to {question!r}."
        " Run lcm init in a terminal, or copy .env.example to .env and fill it in"
    ):
        answer = typer.prompt(
            question, default=default, show_default=bool(default), hide_input=is_hidden
        )
    return str(answer).strip()


def _has_failures(settings: Settings) -> bool:
    """Run the checks of `lcm doctor` with these settings; returns whether one failed."""
    has_failed = False
    for finding in examine(settings, is_new=True):
        if finding.name not in ("settings", "settings file", "size"):
            print_finding(finding)
        has_failed |= finding.state is State.FAIL
    return has_failed


def _write(answers: Mapping[str, Any]) -> None:
    """Create the file with mode 600, so that the secrets are never readable by others."""
    lines = ["# Written by lcm init. All settings: .env.example\n"]
    for name, value in answers.items():
        quoted = str(value).replace("\\", "\\\\").replace("'", "\\'")
        quoted = quoted.replace("${", f"{LITERAL_DOLLAR}{{")
        lines.append(f"LCM_{name.upper()}='{quoted}'\n")
    with replacing(_FILE, 0o600) as file:
        file.write("".join(lines).encode())
