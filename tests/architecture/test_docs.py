"""The pages are consistent: links have targets, decisions are listed, words have one meaning."""

import ast
import io
import re
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, repository_files

PAGES = [path for path in repository_files() if path.suffix == ".md"]
_LINK = re.compile(r"\]\((?!https?:|mailto:)(?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]+))?\)")
_FILE = re.compile(
    r"(?<![\w/.])(?:benchmarks|dashboards|dbt|deploy|lcm_pipeline|sql|tests)/[\w./-]+\.\w+"
)
_FUNCTION = re.compile(r"`(?P<name>\w+)` in `(?P<file>[\w/]+\.py)`")
_CODE = re.compile(r"^```.*?^```", re.M | re.S)


def _headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    found = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_of_a_page_has_a_target(page: Path) -> None:
    text = _CODE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    broken = []
    for link in _LINK.finditer(text):
        target = (ROOT / page).parent / link["path"] if link["path"] else ROOT / page
        if not target.exists() or (link["heading"] and link["heading"] not in _headings(target)):
            broken.append(link[0])
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    names = _FILE.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_definition_that_a_page_names_is_in_its_file(page: Path) -> None:
    """Paths begin in the package, as in a walk through the code."""
    absent = [
        named[0]
        for named in _FUNCTION.finditer((ROOT / page).read_text(encoding="utf-8"))
        if not re.search(
            rf"\b(?:def|class) {named['name']}\b",
            (ROOT / "lcm_pipeline" / named["file"]).read_text(encoding="utf-8"),
        )
    ]
    assert absent == []


@pytest.mark.parametrize(
    "package", [path for path in repository_files() if path.name == "__init__.py"], ids=str
)
def test_a_package_that_lists_files_lists_all_that_it_has(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package).read_text(encoding="utf-8"))) or ""
    files = {path.name for path in (ROOT / package).parent.glob("[!_]*.py")}
    listed = set(re.findall(r"\b\w+\.py\b", docstring))
    assert listed <= files
    # Benchmarks and tests may list only the files to begin with.
    if listed and package.parts[0] == "lcm_pipeline":
        assert listed == files


def test_the_package_lists_all_that_it_has() -> None:
    package = ROOT / "lcm_pipeline"
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    listed = re.findall(r"^    (\w+)  ", docstring, re.MULTILINE)
    assert sorted(listed) == sorted(
        path.stem for path in package.glob("[!_.]*") if path.suffix in ("", ".py")
    )


def _prose_of(text: str) -> Iterator[str]:
    """The docstrings and the comments of a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def test_docstrings_and_comments_name_modules_that_exist() -> None:
    folder = ROOT / "lcm_pipeline"
    modules = {
        path.relative_to(folder).with_suffix("").as_posix().replace("/", "."): path.read_text()
        for path in folder.rglob("*.py")
    }
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    named = re.compile(rf"(?<![\w./-])((?:{'|'.join(packages)})(?:\.\w+)+)(?!\w*[(/])")
    statements = "".join(path.read_text() for path in (ROOT / "sql").rglob("*.sql"))
    missing = []
    for module, text in modules.items():
        for name in named.findall("\n".join(_prose_of(text))):
            owner, _, member = name.rpartition(".")
            is_found = (
                name in modules
                or f"{name}.__init__" in modules
                or name.endswith(".py")
                or re.search(rf"\b{member}\b", modules.get(owner, ""))
                # A table or column of the schema sync, which has the name of a package.
                or (name.startswith("sync.") and re.search(rf"\b{name}\b", statements))
            )
            if not is_found:
                missing.append(f"{module}: {name}")
    assert missing == []


def test_every_decision_is_listed_and_has_all_sections() -> None:
    folder = ROOT / "docs" / "adr"
    decisions = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    listed = re.findall(
        r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", (folder / "README.md").read_text(), re.M
    )
    assert [name for _, name, _ in listed] == [path.name for path in decisions]
    for (number, _, title), path in zip(listed, decisions, strict=True):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}: {title}\n"), path.name
        sections = re.findall(r"^## (.+)$", text, re.M)
        assert sections == [
            "Problem", "Decision", "What it gives and costs", "What would change it",
        ], path.name  # fmt: skip


def test_a_word_of_the_glossary_is_explained_once() -> None:
    rows = re.findall(r"^\| (\*\*.+?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.M)
    words = Counter(word for row in rows for word in re.findall(r"\*\*(.+?)\*\*", row))
    assert len(words) > 40
    assert [word for word, count in words.items() if count > 1] == []


def test_the_changelog_begins_with_unreleased_and_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(
        r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert headings[:2] == ["Unreleased", version]
    assert version.startswith("0.")
