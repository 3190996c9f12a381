"""Where the server's socket lies: beside the data, or in the temp folder when that is too long.

A socket's whole path must fit in about a hundred bytes, and libpq splits hosts at commas.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from lcm_pipeline.warehouse.embedded.account import Account
from lcm_pipeline.warehouse.embedded.folder import (
    OWN_DATABASE,
    EmbeddedPostgresError,
    ServerFolder,
)

PORT = 5432
_LONGEST = 99 - len(f"/.s.PGSQL.{PORT}.lock")


def make_socket_folder(folder: ServerFolder, account: Account) -> Path:
    """Make the folder of the socket, closed to all but the server's account."""
    beside = folder.root / "socket"
    place = beside if _fits(beside) else _in_temp_folder(folder, account)
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), account.uid):
        raise EmbeddedPostgresError(
            f"{place} should be a folder for the server's socket, but someone else owns it: "
            f"remove it, use a shorter LCM_HOME, {OWN_DATABASE}"
        )
    place.chmod(0o700)
    account.own(place)
    return place


def remove_socket_folder(place: Path) -> None:
    """Leave nothing in the temp folder once the server has ended."""
    if place.name == "socket" or not place.is_dir():
        return
    for leftover in place.glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)
    place.rmdir()


def _fits(place: Path) -> bool:
    text = str(place)
    return len(text) <= _LONGEST and text.isascii() and "," not in text


def _in_temp_folder(folder: ServerFolder, account: Account) -> Path:
    name = hashlib.sha256(os.fsencode(folder.home) + str(account.uid).encode()).hexdigest()
    return Path(tempfile.gettempdir()) / f"lcm-{name[:24]}"
