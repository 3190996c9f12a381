"""Texts of others - the source, a file, a server - as they may be shown: tame, and cut.

A text that came from outside may steer a terminal, turn the direction of a line or fill a page. It
is stored as it came where rows are stored, and goes through here wherever people look at it.
"""

import re
from collections.abc import Collection

MOST_NAMES = 20
LONGEST_NAME = 80

# Controls of terminals (C0, C1), marks that hide or turn text, halves of surrogate pairs.
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_CONTROLS = re.compile(f"[{_UNSEEN}]")
_BLANKS = re.compile(r"\s+")


def tame(text: str) -> str:
    """The text without what a terminal would obey; lines and tabs stay."""
    return _CONTROLS.sub("", text)


def shown(text: str, longest: int = LONGEST_NAME) -> str:
    """The text on one line, tame, of so many characters at most."""
    # Cut first: a text of megabytes would be cleaned for nothing.
    line = tame(_BLANKS.sub(" ", text[: 4 * longest])).strip()
    is_cut = len(line) > longest or len(text) > 4 * longest
    return f"{line[: longest - 1]}…" if is_cut else line


def shown_names(names: Collection[str], most: int = MOST_NAMES) -> str:
    """Names in a sentence, the first of them, and how many more there are; "" of none."""
    listed = [shown(name) or '""' for name in sorted(names)[:most]]
    if len(names) > most:
        listed.append(f"… and {len(names) - most:,} more")
    return ", ".join(listed)
