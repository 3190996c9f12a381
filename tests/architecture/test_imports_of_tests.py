"""Tests import helpers from modules that are not tests, and only names that are public."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.repository import ROOT, repository_files

FILES = [path for path in repository_files("tests", "benchmarks") if path.suffix == ".py"]


def _imported(path: Path) -> Iterator[str]:
    """What a file imports of the tests: modules, and names of modules."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("tests."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports a module by a relative name"
            module = node.module or ""
            if module.split(".")[0] == "tests":
                yield from (f"{module}.{alias.name}" for alias in node.names)


def test_no_file_imports_a_test_module_or_a_private_name_of_a_helper() -> None:
    found = [
        f"{path}: {name}"
        for path in FILES
        for name in _imported(path)
        if any(part.startswith(("test_", "_")) for part in name.split("."))
    ]
    assert found == []
