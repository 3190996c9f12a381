"""Secrets that are drawn on this machine, such as the password of a login that only we use."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe

from lcm_pipeline.model.errors import UsageError


def stored_secret(path: Path) -> str:
    """The secret in a file that only its owner may read; drawn when the file does not exist.

    Raises UsageError for an empty file, which a full disk or a killed process leaves behind: an
    empty secret would protect nothing.
    """
    with suppress(FileExistsError):
        # Created with its mode, so that no other user can open it before a chmod.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token_urlsafe(24))
    if secret := path.read_text("utf-8").strip():
        return secret
    raise UsageError(f"the secret in {path} is empty: remove the file, and a new one is drawn")
