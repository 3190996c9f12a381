"""Each statement of sql/ is used in the code by its full name, and declares its parameters."""

import ast
import re
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.queries import queries, sql_folder
from tests.crash.commit_points import TAGS

PACKAGE = Path(__file__).resolve().parents[2] / "lcm_pipeline"
REPORTS = [path.stem for path in sorted((sql_folder() / "reports").glob("*.sql"))]
_STATEMENT = re.compile(r"\s*(select|insert|update|delete|create|with)\s")
_OUR_TABLE = re.compile(
    r"\b(from|join|into|update|table|view) (core|history|sync|outbox|mart|refresh|public|pg)[._]\w"
)
_HEADER = re.compile(r"^-- name: (\w+)\n((?:--.*\n)+)", re.MULTILINE)


@cache
def _string_literals() -> frozenset[str]:
    """Every string literal of the package."""
    return frozenset(
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@cache
def _declared_by_marts() -> frozenset[str]:
    """The statements that a refresh executes for a mart, according to its head."""
    lines = ("as days pass", "as days pass, add clients", "record changes")
    declared = [mart.head[line] for mart in marts() for line in lines if line in mart.head]
    return frozenset(name for names in declared for name in names.split(", "))


@pytest.mark.parametrize("name", [*queries(), *REPORTS])
def test_every_statement_is_used_by_its_name(name: str) -> None:
    """In the code, or in the head of a mart."""
    assert name in _string_literals() | _declared_by_marts()


def test_statements_that_marts_declare_exist() -> None:
    assert _declared_by_marts() <= queries().keys()


def test_benchmarks_and_tests_use_statements_that_exist() -> None:
    """Some of them are slow, or run on request only."""
    missing = [
        f"{path.name}:{call.lineno}"
        for folder in ("benchmarks", "tests")
        for path in (PACKAGE.parent / folder).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("query", "composed")
        and isinstance(call.args[0], ast.Constant)
        and call.args[0].value not in queries()
    ]
    assert missing == []


@cache
def _headers() -> dict[str, str]:
    """The comments before each statement, in its file."""
    texts = [path.read_text("utf-8") for path in (sql_folder() / "queries").rglob("*.sql")]
    return {name: header for text in texts for name, header in _HEADER.findall(text)}


@pytest.mark.parametrize("name", queries())
def test_a_statement_is_executed_without_the_comments_before_it(name: str) -> None:
    """In these, {names} and what replaces them, of several lines, would be no comment any more."""
    sent = queries()[name].splitlines()
    before = list(takewhile(lambda line: line.startswith("--"), sent))
    assert before == [line for line in _headers()[name].splitlines() if "-- tag: " in line]
    assert [line for line in sent if re.search(r"--.*[{}]", line)] == []


@pytest.mark.parametrize("name", queries())
def test_every_statement_declares_its_purpose_and_parameters(name: str) -> None:
    text, header = queries()[name], _headers()[name]
    assert header.startswith("-- purpose: ")
    used = set(re.findall(r"%\((\w+)\)s", text))
    declared = re.search(r"^-- parameters?: (.*(?:\n--  .*)*)", header, re.MULTILINE)
    names = set(re.findall(r"\w+", declared[1])) if declared else set()
    assert used <= names, f"not declared: {sorted(used - names)}"


@pytest.mark.parametrize("name", queries())
def test_every_statement_uses_the_parameters_that_it_declares(name: str) -> None:
    """One with {names} may get them with what these are replaced by."""
    text = queries()[name]
    declared = re.search(r"^-- parameters?: (.*(?:\n--  .*)*)", _headers()[name], re.MULTILINE)
    if declared is None or re.search(r"\{\w+\}", text):
        return
    listed = re.split(r"[,;]", re.sub(r"\([^)]*\)", "", declared[1].replace("\n--", "")))
    names = {part.strip() for part in listed if re.fullmatch(r"\w+", part.strip())}
    assert names <= set(re.findall(r"%\((\w+)\)s", text))


def test_no_statement_on_our_tables_is_in_the_code() -> None:
    """A statement composed of columns has {names}, and is built with psycopg.sql."""
    statements = [
        f"{path.name}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and _STATEMENT.match(node.value)
        and _OUR_TABLE.search(node.value)
        and "{" not in node.value
    ]
    assert statements == []


def test_no_name_of_a_statement_is_computed() -> None:
    """A search for the name of a statement must find its uses."""
    computed = [
        f"{path.name}:{call.lineno}"
        for path in PACKAGE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("query", "report_query", "fetch_value")
        and any(isinstance(part, ast.JoinedStr | ast.BinOp) for part in call.args)
    ]
    assert computed == []


def test_the_tags_of_commit_points_are_those_of_the_crash_harness() -> None:
    texts = [*queries().values()]
    texts += [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    tags = {tag for text in texts for tag in re.findall(r"(?:--|/\*) tag: ([a-z-]+)", text)}
    assert tags == TAGS
