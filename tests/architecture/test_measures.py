"""The figures agree with a count by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.measures import measure
from tests.architecture.repository import ROOT

FIRST = '''\
"""A module."""

from package.second import _shared  # noqa: F401 - for tools, not a comment


def public() -> int:
    # A comment that says why.
    return _once() + _twice() + _twice()


def _once() -> int:
    return 1


def _twice() -> int:
    return 2  # another one


def _never() -> int:
    return _same()


def _same() -> int:
    return _shared()


class Thing:
    def __init__(self) -> None:
        self.callback = self._handed_on

    def _handed_on(self) -> None:
        pass
'''
SECOND = """\
def _shared() -> int:
    return _same() + _same()


def _same() -> int:
    return 0


class Thing:
    pass
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in (
        ("__init__.py", ""),
        ("first.py", FIRST),
        ("second.py", SECOND),
        ("deeper/second.py", ""),
        ("deeper/__init__.py", ""),
        ("tests/test_first.py", "def _helper() -> None: ...\n"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_private_function_whose_name_is_read_once_is_called_once(package: Path) -> None:
    names = [line.split()[-1] for line in measure(package).called_once]
    assert sorted(names) == ["_handed_on", "_once", "_same", "_shared"]


def test_functions_modules_comments_and_names_are_counted(package: Path) -> None:
    found = measure(package)
    assert (found.modules, found.functions, found.private) == (5, 9, 7)
    assert found.comment_lines == 2
    assert found.repeated_files == ("second.py",)
    assert found.repeated_classes == ("Thing",)
    assert found.within(2) == 8


def test_packages_are_printed_side_by_side(package: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.architecture.measures", str(package), "psycopg", "--list"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    head, *rows = done.stdout.splitlines()
    assert head == f"| measured | {package} | psycopg |"
    assert rows[1].startswith("| modules | 5 | ")
    assert "first.py:11 _once" in done.stdout


def test_a_name_without_a_package_is_refused_in_one_line(package: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.architecture.measures", "no_such_package"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr == "no_such_package is neither a folder nor an installed package\n"
