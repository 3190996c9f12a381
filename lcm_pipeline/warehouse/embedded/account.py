"""The account that the server runs as. Postgres refuses to run as root.

Started by root, the server runs in a user namespace in which root is mapped to nobody: no user is
created, and the files still belong to root. Where namespaces are forbidden (many containers), it
runs as the owner of the home or as nobody, and the folder is given to that account. If that account
may not enter a parent folder (a checkout below /root), it retains root's capability to pass through
folders, and no other. Started by an ordinary user, the server runs as that user.

A process sets its parent-death signal after it has changed its account, because the kernel clears
the signal when credentials change.
"""

import ctypes
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lcm_pipeline.processes import libc, run_prepared
from lcm_pipeline.warehouse.embedded.folder import OWN_DATABASE, EmbeddedPostgresError, ServerFolder

_CLONE_NEWUSER = 0x10000000
_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION = 0x20080522
# CAP_DAC_READ_SEARCH is the narrower one, but containers often have only CAP_DAC_OVERRIDE.
_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE = 2, 1
_NOBODY = 65534
_PROBE = 'cd "$1" && exec "$2" --version'


@dataclass(frozen=True)
class Account:
    """The owner of files and processes. is_renamed: mapped to nobody in a user namespace.

    capability: the capability of root that is retained to pass through closed folders; 0 is none.
    """

    uid: int
    gid: int
    is_renamed: bool = False
    capability: int = 0

    def enter(self) -> None:
        """Become this account; for a child process, between fork and exec. Raises OSError."""
        os.umask(0o077)
        if self.is_renamed:
            _rename_in_namespace()
        elif self.uid != os.geteuid():
            if self.capability:
                # By default setuid() clears capabilities, and access(), which Postgres calls,
                # ignores them.
                _check(libc().prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)
            if self.capability:
                _retain_only(self.capability)

    def own(self, path: Path) -> None:
        """Change the owner of one file or folder to this account."""
        if path.lstat().st_uid != self.uid:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def own_all(self, folder: Path) -> None:
        """Change the owner of a folder and everything in it to this account."""
        self.own(folder)
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                self.own(Path(parent) / name)


def choose_account(folder: ServerFolder, binaries: Path) -> Account:
    """Choose the first account that can run the programs and enter the home; it gets the folder.

    Raises EmbeddedPostgresError if no account can.
    """
    tried = list(dict.fromkeys(_candidates(folder)))
    for account in tried:
        if _can_run(account, folder.home, binaries):
            if folder.root.stat().st_uid != account.uid:
                account.own_all(folder.root)
            return account
    names = ", ".join(
        dict.fromkeys(
            "a user namespace" if account.is_renamed else f"uid {account.uid}" for account in tried
        )
    )
    raise EmbeddedPostgresError(
        f"Postgres does not run as root, and none of these could enter {folder.home} and run "
        f"{binaries / 'postgres'}: {names}. Run as an ordinary user, put LCM_HOME and the Python "
        f"environment into folders that others may enter, {OWN_DATABASE}"
    )


def _candidates(folder: ServerFolder) -> Iterator[Account]:
    if os.geteuid() != 0:
        yield Account(os.geteuid(), os.getegid())
        return
    renamed = Account(0, os.getegid(), is_renamed=True)
    for path in (folder.data_folder, folder.home):
        if path.exists():
            owner = path.stat()
            yield Account(owner.st_uid, owner.st_gid) if owner.st_uid else renamed
    yield renamed
    nobody = _nobody()
    yield nobody
    for capability in _available_capabilities():
        yield replace(nobody, capability=capability)


def _available_capabilities() -> list[int]:
    """The capabilities for passing through closed folders that root has here, narrowest first."""
    if sys.platform != "linux":
        return []
    status = Path("/proc/self/status").read_text("utf-8", "replace")
    found = re.search(r"^CapPrm:\s*([0-9a-f]+)$", status, re.MULTILINE)
    permitted = int(found[1], 16) if found else 0
    return [
        number for number in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE) if permitted >> number & 1
    ]


def _can_run(account: Account, home: Path, binaries: Path) -> bool:
    if os.geteuid() != 0:
        return True
    libc()
    command = ["/bin/sh", "-c", _PROBE, "probe", str(home), str(binaries / "postgres")]
    try:
        probe = run_prepared(
            command, account.enter,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return probe.returncode == 0


def _nobody() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account(_NOBODY, _NOBODY)
    return Account(entry.pw_uid, entry.pw_gid)


def _rename_in_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if sys.platform != "linux" or libc().unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "no user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_NOBODY} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_NOBODY} {gid} 1")


def _retain_only(capability: int) -> None:
    """Drop all other capabilities, and keep this one across exec; see capabilities(7)."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    # Effective, permitted, inheritable: first for the lower 32 capabilities, then for the upper.
    sets = (ctypes.c_uint32 * 6)(*[1 << capability] * 3, 0, 0, 0)
    _check(libc().capset(header, sets))
    _check(libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "cannot retain a capability")
