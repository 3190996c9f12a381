"""The folder of the server's socket: next to the data folder, or else in the temp folder.

The temp folder is used if the path is not a usable one: the whole path of a socket has to fit into
about a hundred bytes, and libpq splits hosts at commas.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from lcm_pipeline.warehouse.embedded.account import Account
from lcm_pipeline.warehouse.embedded.folder import OWN_DATABASE, EmbeddedPostgresError, ServerFolder

PORT = 5432
_LONGEST = 99 - len(f"/.s.PGSQL.{PORT}.lock")


def make_socket_folder(folder: ServerFolder, account: Account) -> Path:
    """Create the folder of the socket, accessible only to the server's account.

    Raises EmbeddedPostgresError if another user owns it.
    """
    path = folder.root / "socket"
    text = str(path)
    if len(text) > _LONGEST or not text.isascii() or "," in text:
        name = hashlib.sha256(os.fsencode(folder.home) + str(account.uid).encode()).hexdigest()
        path = Path(tempfile.gettempdir()) / f"lcm-{name[:24]}"
    path.mkdir(mode=0o700, exist_ok=True)
    # The temp folder is shared: another user may have created the folder, or a link, before.
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), account.uid):
        raise EmbeddedPostgresError(
            f"{path} should be a folder for the server's socket, but another user owns it: "
            f"remove it, use a shorter LCM_HOME, {OWN_DATABASE}"
        )
    path.chmod(0o700)
    account.own(path)
    return path


def remove_socket_folder(path: Path) -> None:
    """Remove a folder in the temp folder once the server has ended."""
    if path.name == "socket" or not path.is_dir():
        return
    for leftover in path.glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)
    path.rmdir()
