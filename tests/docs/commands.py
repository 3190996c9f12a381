"""The commands of README.md and docs/*.md, as a reader would copy them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("docs", "docs/how-to", "docs/explanation", "docs/reference")
PAGES = [
    *sorted(ROOT.glob("README*.md")),
    *(page for folder in _FOLDERS for page in sorted((ROOT / folder).glob("*.md"))),
]

# Code spans that begin with one of these are commands; others are names, values and formulas.
_FIRST_WORDS = (
    "lcm",
    "make",
    "dagster",
    "python",
    "pip",
    "superset",
    "psql",
    "docker",
    "systemctl",
    "uv",
    "git",
    "cp",
)
_SQL = ("create role", "alter role", "grant", "alter system", "create database")
# Fenced blocks without a command, by their first line.
_DRAWINGS = ("LCManagerPartner API", "lcm_pipeline/", "LCM_", "rows requested")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_INDENTED = re.compile(r"(?:^ {4,}\S.*\n)+", re.MULTILINE)


class Command(NamedTuple):
    """One command and its page; a fenced command is complete and runs as written."""

    page: str
    text: str
    is_fenced: bool

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def commands_of(page: Path, *, root: Path = ROOT) -> list[Command]:
    """The commands of a page, in order, each once."""
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(root))
    found: dict[str, Command] = {}
    for language, block in _FENCE.findall(text):
        if language == "mermaid" or block.strip().startswith(_DRAWINGS):
            continue
        for line in _statements(block) if language == "sql" else _joined(block):
            found.setdefault(line, Command(name, line, is_fenced=True))
    rest = _FENCE.sub("", text)
    for block in _INDENTED.findall(rest):
        for line in _joined(block):
            if line.startswith((*_FIRST_WORDS, *_SQL)):
                found.setdefault(line, Command(name, line, is_fenced=True))
    for span in _SPAN.findall(rest):
        line = " ".join(span.split())
        # A single word only names the program.
        if line in _FIRST_WORDS:
            continue
        if line.split(" ")[0] in _FIRST_WORDS or line.startswith(_SQL):
            found.setdefault(line, Command(name, line, is_fenced=False))
    return list(found.values())


def _statements(block: str) -> list[str]:
    """The statements of SQL, each on one line, without comments."""
    bare = re.sub(r"\s+-- .*$", "", block, flags=re.MULTILINE)
    return [" ".join(statement.split()) for statement in re.findall(r"\S.*?;$", bare, re.S | re.M)]


def _joined(block: str) -> list[str]:
    """The lines of a block without comments; one that uses `$?` is joined to the one before."""
    lines: list[str] = []
    for line in block.replace("\\\n", " ").splitlines():
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if bare and "$?" in bare and lines:
            lines[-1] += "\n" + bare
        elif bare:
            lines.append(bare)
    return lines
