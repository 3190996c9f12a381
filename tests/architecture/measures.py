"""Figures about the structure of a package, to compare with earlier ones or another package.

Run as `python -m tests.architecture.measures [PACKAGE …] [--list]`: folders, or names of installed
packages; lcm_pipeline when none is given. With --list it also lists what it counted.

How it counts, by syntax alone:

- functions: those of modules and the methods of classes; private: a name that begins with one `_`;
- called once: the name of a private function is read once in the package, called or handed on. A
  name that another module defines too is counted in its own module only, and equal names of one
  module share their uses;
- lines of a function: from `def` to its end, decorators left out, its docstring included;
- comment lines: lines with a comment, those for tools (noqa, fmt, type) left out.
"""

import argparse
import ast
import importlib.util
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SHORT, _LONG = 20, 40
_FOR_TOOLS = re.compile(r"#(!|\s*(noqa|fmt|type|pragma|pyright|mypy|ruff|isort)\b)")
_NOT_NAMED = {"__init__.py", "__main__.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A parsed file. uses: how often each name is read, alone or as an attribute."""

    path: Path
    lines: int
    comment_lines: int
    functions: tuple[Function, ...]
    classes: tuple[str, ...]
    uses: Counter[str]

    @property
    def private(self) -> Iterator[Function]:
        for function in self.functions:
            if function.name.startswith("_") and not function.name.startswith("__"):
                yield function


@dataclass(frozen=True)
class Measures:
    """The figures of one package."""

    modules: int
    lines: int
    comment_lines: int
    function_lines: tuple[int, ...]
    private: int
    called_once: tuple[str, ...]
    repeated_files: tuple[str, ...]
    repeated_classes: tuple[str, ...]

    @property
    def functions(self) -> int:
        return len(self.function_lines)

    def within(self, lines: int) -> int:
        """The number of functions with at most that many lines."""
        return sum(each <= lines for each in self.function_lines)


def measure(folder: Path) -> Measures:
    """The figures of the package in a folder, without its tests."""
    modules = [
        _read(path)
        for path in sorted(folder.rglob("*.py"))
        if not {"tests", "__pycache__"} & set(path.relative_to(folder).parts)
    ]
    definers = Counter(
        name for module in modules for name in {function.name for function in module.private}
    )
    uses = sum((module.uses for module in modules), Counter[str]())
    called_once = [
        f"{module.path.relative_to(folder)}:{function.lineno} {function.name}"
        for module in modules
        for function in module.private
        if _is_called_once(
            function.name, module, uses if definers[function.name] == 1 else module.uses
        )
    ]
    return Measures(
        modules=len(modules),
        lines=sum(module.lines for module in modules),
        comment_lines=sum(module.comment_lines for module in modules),
        function_lines=tuple(
            (function.end_lineno or function.lineno) - function.lineno + 1
            for module in modules
            for function in module.functions
        ),
        private=sum(1 for module in modules for _ in module.private),
        called_once=tuple(called_once),
        repeated_files=_repeated(
            module.path.name for module in modules if module.path.name not in _NOT_NAMED
        ),
        repeated_classes=_repeated(name for module in modules for name in module.classes),
    )


def _is_called_once(name: str, module: Module, uses: Counter[str]) -> bool:
    return uses[name] == sum(function.name == name for function in module.private)


def _read(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions: list[Function] = []
    classes: list[str] = []
    uses: Counter[str] = Counter()
    # Functions and classes of the module or of a class, also within an `if` or a `try`.
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, Function):
                functions.append(node)
            else:
                if isinstance(node, ast.ClassDef):
                    classes.append(node.name)
                waiting.append(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            uses[node.id] += 1
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            uses[node.attr] += 1
    return Module(
        path=path,
        lines=len(text.splitlines()),
        comment_lines=sum(
            token.type == tokenize.COMMENT and not _FOR_TOOLS.match(token.string)
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
        ),
        functions=tuple(functions),
        classes=tuple(classes),
        uses=uses,
    )


def _repeated(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name, count in Counter(names).items() if count > 1))


def _folder_of(package: str) -> Path:
    folder = Path(package)
    if not folder.is_dir():
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise SystemExit(f"{package} is neither a folder nor an installed package")
        folder = Path(found.submodule_search_locations[0])
    return folder


def _table(columns: dict[str, Measures]) -> Iterator[str]:
    def share(part: int, whole: int) -> str:
        return f"{part:,} ({part / max(1, whole):.1%})"

    rows = {
        "modules": [f"{m.modules:,}" for m in columns.values()],
        "lines": [f"{m.lines:,}" for m in columns.values()],
        "comment lines": [share(m.comment_lines, m.lines) for m in columns.values()],
        "functions": [f"{m.functions:,}" for m in columns.values()],
        f"within {_SHORT} lines": [share(m.within(_SHORT), m.functions) for m in columns.values()],
        f"within {_LONG} lines": [share(m.within(_LONG), m.functions) for m in columns.values()],
        "private functions": [share(m.private, m.functions) for m in columns.values()],
        "called once, of all functions": [
            share(len(m.called_once), m.functions) for m in columns.values()
        ],
        "called once, of the private ones": [
            share(len(m.called_once), m.private) for m in columns.values()
        ],
        "file names used twice or more": [f"{len(m.repeated_files)}" for m in columns.values()],
        "class names used twice or more": [f"{len(m.repeated_classes)}" for m in columns.values()],
    }
    yield f"| measured | {' | '.join(columns)} |"
    yield "|---|" + "---:|" * len(columns)
    for name, cells in rows.items():
        yield f"| {name} | {' | '.join(cells)} |"


def main(words: Sequence[str] | None = None) -> None:
    """Print a table with a column for each package."""
    parser = argparse.ArgumentParser(prog="python -m tests.architecture.measures")
    parser.add_argument("package", nargs="*", default=["lcm_pipeline"])
    parser.add_argument("--list", action="store_true", help="name what was counted")
    chosen = parser.parse_args(words)
    columns = {package: measure(_folder_of(package)) for package in chosen.package}
    print("\n".join(_table(columns)))
    if chosen.list:
        for package, measures in columns.items():
            print(f"\n{package}: files {', '.join(measures.repeated_files) or '-'}")
            print(f"{package}: classes {', '.join(measures.repeated_classes) or '-'}")
            print(*measures.called_once, sep="\n")


if __name__ == "__main__":
    main()
