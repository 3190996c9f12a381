"""Files: shipped with the package, replaced while others read; the end of a log."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import IO, BinaryIO

# The error numbers of a disk without room, or of a user without any left.
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Lines of a program's output that an error message quotes.
QUOTED_LINES = 12
_BLOCK_BYTES = 65_536
_PACKAGE = Path(__file__).resolve().parent


@cache
def shipped(name: str) -> Path:
    """A file or folder of the project, such as `sql`: in the package of a wheel, or next to it.

    Raises FileNotFoundError.
    """
    for candidate in (_PACKAGE / name, _PACKAGE.parent / name):
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"{name} is missing: install the project from its checkout")


def existing_folder(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` atomically at the end.

    A reader sees the old file or the new one. After an error the old one stays. A link is followed.
    mode: the permissions of the new file from its beginning, less those that the umask removes.
    """
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) == draft:
            # The user knows only the file that was to be replaced.
            error.filename = str(path)
        raise
    finally:
        draft.unlink(missing_ok=True)


def last_lines(output: str, most: int = QUOTED_LINES) -> str:
    """The last lines of what a program has printed, at most `most`."""
    return "\n".join(output.splitlines()[-most:])


def end_of_log(log: IO[bytes], most: int = QUOTED_LINES) -> str:
    """The last lines of a log, at most `most`; of a large file only its end is read."""
    at, text = log.seek(0, os.SEEK_END), b""
    # One line feed more than lines: the first of these is whole then.
    while at > 0 and text.count(b"\n") <= most:
        size = min(_BLOCK_BYTES, at)
        at -= size
        log.seek(at)
        text = log.read(size) + text
    return last_lines(text.decode("utf-8", "replace"), most)
