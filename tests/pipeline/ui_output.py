"""What `lcm ui`, in the background, has printed in a folder."""

import re
from pathlib import Path

from tests.waiting import wait_for


def output_of(folder: Path) -> str:
    return (folder / "output").read_text()


def printed_link(folder: Path) -> str | None:
    """The link to open, with the token; None before the page is served."""
    found = re.search(r"Dagster: (http://\S+)", output_of(folder))
    return found and found[1]


def await_link(folder: Path) -> str:
    """Wait for the link to open."""
    return wait_for(lambda: printed_link(folder), lambda: output_of(folder)) or ""
