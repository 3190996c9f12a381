"""Makes texts from outside (the source, a file, a server) safe to show.

Such a text may contain terminal escape codes, reverse the direction of a line or fill a page. Rows
are stored as they were sent; whatever is printed or logged goes through these functions.
"""

import re
from collections.abc import Collection

MAX_NAMES = 20
LONGEST_NAME = 80

# C0 and C1 control characters, invisible and bidirectional marks, lone surrogates.
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_CONTROLS = re.compile(f"[{_UNSEEN}]")
_BLANKS = re.compile(r"\s+")
_DATABASE_PART = re.compile(r"\n(LINE \d+|DETAIL|HINT|QUERY|CONTEXT): ?")


def strip_control_characters(text: str) -> str:
    """Remove control and invisible characters; line feeds and tabs stay."""
    return _CONTROLS.sub("", text)


def database_message(text: str) -> str:
    """Return the message of a database error and its hint on one line, without a full stop.

    Its other parts may quote rows (DETAIL, CONTEXT), or whole statements (LINE, QUERY, CONTEXT):
    hundreds of lines where a disk became full within a mart.
    """
    # The message, then by turns the name of a part and its text.
    message, *parts = _DATABASE_PART.split(text.strip())
    hints = [part for name, part in zip(parts[::2], parts[1::2], strict=True) if name == "HINT"]
    # libpq lists the hosts that it has tried, and asks whether the server is running, as our advice
    # does.
    lines = [line.strip() for part in (message, *hints) for line in part.splitlines()]
    text = ". ".join(line.rstrip(".") for line in lines if line and not line.endswith("?"))
    return text.replace(":. ", ": ")


def shorten(text: str, longest: int = LONGEST_NAME) -> str:
    """Return the text on one line, without control characters, of at most `longest` characters."""
    # Cut first: cleaning all of a text of megabytes would be wasted.
    line = strip_control_characters(_BLANKS.sub(" ", text[: 4 * longest])).strip()
    is_cut = len(line) > longest or len(text) > 4 * longest
    return f"{line[: longest - 1]}…" if is_cut else line


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun: 1 row, 2,000 rows. plural: by default the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def join_names(names: Collection[str]) -> str:
    """Join the first MAX_NAMES names for a message, with the number of the others; "" for none."""
    listed = [shorten(name) or '""' for name in sorted(names)[:MAX_NAMES]]
    if len(names) > MAX_NAMES:
        listed.append(f"… and {len(names) - MAX_NAMES:,} more")
    return ", ".join(listed)
