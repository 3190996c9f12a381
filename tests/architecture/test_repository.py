"""The repository holds what belongs to everyone: no path of a machine, nothing generated."""

import re
import subprocess

from tests.architecture.repository import ROOT, repository_files

# Brackets keep this file from matching itself.
_OF_A_MACHINE = re.compile(
    rb"(?<![\w.])/(hom[e]|User[s]|mn[t]/[a-z]|privat[e]/var|va[r]/folders|tm[p]|wor[k])/[A-Za-z0-9_.]"
    rb"|(?<![\w.])/roo[t]/|[A-Za-z]:\\+User[s]\\|\.\./share[d]\b"
)


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    checkout = str(ROOT).encode()
    found = []
    for path in repository_files():
        text = (ROOT / path).read_bytes()
        match = _OF_A_MACHINE.search(text)
        # The root of a container, such as /app, is a word of the language too.
        if match is None and len(ROOT.parts) > 2 and checkout in text:
            found.append(f"{path}: {ROOT}")
        elif match is not None:
            line = text.count(b"\n", 0, match.start()) + 1
            found.append(f"{path}:{line}: {match[0].decode('utf-8', 'replace')}")
    assert found == []


def test_nothing_is_committed_that_gitignore_leaves_out() -> None:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--ignored",
         "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert listed.stdout == ""
