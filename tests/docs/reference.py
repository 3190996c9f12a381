"""The generated pages of docs/reference: `make reference` writes them, a test says when to.

Settings are those of .env.example, which a test holds against the code; commands and their options
are asked of `lcm` itself; the exit codes are those of the code.
"""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from lcm_pipeline.cli.commands import HELP_LINES
from lcm_pipeline.cli.failures import DONE, FAILED, INCOMPLETE, INTERRUPTED, USAGE
from lcm_pipeline.cli.lazy_group import load_command
from lcm_pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
_HOW = "This page is generated: `make reference` writes it."
_MEANING = {
    DONE: "done",
    FAILED: "failed: what was read is kept, and the same command goes on",
    USAGE: "usage: an option, a setting, a database or an extra that cannot be used; nothing was"
    " changed",
    INCOMPLETE: "finished, but something is left: clients pending, rows in quarantine, rows that"
    " differ, updates not sent",
    INTERRUPTED: "stopped with Ctrl-C; the same command goes on",
}


def pages() -> dict[str, str]:
    """The text of each page by its name."""
    return {
        "settings.md": _settings(),
        "commands.md": _commands(),
        "exit-codes.md": _exit_codes(),
    }


def _settings() -> str:
    lines = [
        "# Settings",
        "",
        f"{_HOW}",
        "",
        "Settings are variables of the environment, or lines `NAME=VALUE` of a file `.env` in the"
        " folder where",
        "`lcm` is called; the environment wins. An unknown `LCM_` name is an error that suggests"
        " the nearest one.",
        "`lcm init` asks for the first of them, tries them, and writes `.env`.",
        "",
    ]
    for names, text in _blocks((ROOT / ".env.example").read_text("utf-8")):
        lines += [f"## {', '.join(names)}", "", text, ""]
        lines += [f"Default: {default}.\n" for default in dict.fromkeys(names.values())]
    return "\n".join(lines)


def _blocks(text: str) -> Iterator[tuple[dict[str, str], str]]:
    """The settings that stand under one comment, each with its default, and the comment."""
    comments: list[str] = []
    names: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        setting = re.fullmatch(r"#?(LCM_[A-Z_]+)=(.*)", line)
        if setting:
            names[setting[1]] = _default(setting[1], setting[2])
            continue
        if names:
            yield names, " ".join(comments)
        if names or not line:
            comments, names = [], {}
        if line.startswith("# "):
            comments.append(line.removeprefix("# "))


def _default(name: str, example: str) -> str:
    field = Settings.model_fields.get(name.removeprefix("LCM_").lower())
    if field is None or field.default is None:
        return f"none, such as `{example}`" if example else "none"
    return f"`{example}`"


def _commands() -> str:
    lines = [
        "# Commands",
        "",
        _HOW,
        "",
        "The option `--help` of a command says the same on a terminal.",
        "",
    ]
    for name in HELP_LINES:
        function = getattr(import_module(f"lcm_pipeline.cli.commands.{name}"), name)
        lines += [f"## lcm {name}", "", _plain(inspect.getdoc(function) or ""), ""]
        parameters = load_command(name).params
        rows = [_row(one) for one in parameters if not getattr(one, "hidden", False)]
        if rows:
            lines += ["| option | default | what |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    is_argument = parameter.param_type_name == "argument"
    shown = (parameter.metavar or parameter.name.upper()) if is_argument else names
    default = "" if parameter.default in (None, False, ()) else parameter.default
    if callable(default):
        default = ""
    shown_default = getattr(parameter, "show_default", None)
    if isinstance(shown_default, str):
        default = shown_default
    help_text = _plain(parameter.help or "").replace("|", "\\|").replace("\n", " ")
    return f"| `{shown}` | {f'`{default}`' if str(default) else ''} | {help_text} |"


def _plain(text: str) -> str:
    """Help without the marks of rich; an example is a command."""
    text = re.sub(r"\[bold\](.+?)\[/bold\]", r"`\1`", text, flags=re.DOTALL)
    return re.sub(r"<(?=\w)", "&lt;", text)


def _exit_codes() -> str:
    rows = [f"| {code} | {_MEANING[code]} |" for code in sorted(_MEANING)]
    return "\n".join(
        ["# Exit codes", "", _HOW, "", "| code | meaning |", "|---:|---|", *rows, "",
         "What `lcm status --exit-code` says of the warehouse:"
         " [Operating it](../operating.md#exit-codes).",
         ""]
    )  # fmt: skip


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote {FOLDER / name}")


if __name__ == "__main__":
    main()
