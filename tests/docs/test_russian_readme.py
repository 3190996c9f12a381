"""README.ru.md has the commands, figures, settings and links of README.md."""

import re
from pathlib import Path

from tests.docs.commands import ROOT, commands_of

_ENGLISH, _RUSSIAN = ROOT / "README.md", ROOT / "README.ru.md"


def _figures(page: Path) -> set[str]:
    """The figures of the tables as digits only, because separators differ."""
    rows = re.findall(r"^\|.*\d.*\|$", page.read_text("utf-8"), re.M)
    text = re.sub(r"(?<=\d)[.,\s](?=\d)", "", "\n".join(rows))
    return set(re.findall(r"\d+", text))


def test_both_have_the_same_figures() -> None:
    assert _figures(_RUSSIAN) == _figures(_ENGLISH)


def test_the_commands_to_copy_are_the_same() -> None:
    fenced = [
        {command.text for command in commands_of(page) if command.is_fenced}
        for page in (_ENGLISH, _RUSSIAN)
    ]
    assert fenced[0] == fenced[1]


def test_settings_and_links_of_the_russian_one_are_in_the_english_one() -> None:
    for pattern in (r"LCM_[A-Z_]+", r"\]\((docs/[^)#]+)"):
        english, russian = (
            set(re.findall(pattern, page.read_text("utf-8"))) for page in (_ENGLISH, _RUSSIAN)
        )
        assert russian <= english | {"docs/how-to/managed-postgres.md"}
