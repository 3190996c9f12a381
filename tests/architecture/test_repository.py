"""The repository contains no paths of a single machine and nothing generated."""

import re
import subprocess

from tests.architecture.repository import ROOT, repository_files

# Brackets keep this file from matching itself.
_MACHINE_PATH = re.compile(
    rb"(?<![\w.])/(hom[e]|User[s]|mn[t]/[a-z]|privat[e]/var|va[r]/folders|tm[p]|wor[k])/[A-Za-z0-9_.]"
    rb"|(?<![\w.])/roo[t]/|[A-Za-z]:\\+User[s]\\|\.\./share[d]\b"
)


def test_no_file_names_a_path_of_one_machine() -> None:
    checkout = str(ROOT).encode()
    found = []
    for path in repository_files():
        text = (ROOT / path).read_bytes()
        match = _MACHINE_PATH.search(text)
        # A short root, such as /app in a container, may occur in the text by chance.
        if match is None and len(ROOT.parts) > 2 and checkout in text:
            found.append(f"{path}: {ROOT}")
        elif match is not None:
            line = text.count(b"\n", 0, match.start()) + 1
            found.append(f"{path}:{line}: {match[0].decode('utf-8', 'replace')}")
    assert found == []


def test_no_ignored_file_is_committed() -> None:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--ignored",
         "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert listed.stdout == ""
