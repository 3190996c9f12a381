"""The linters: pre-commit runs those of `make lint`, and sqlfluff knows our placeholders."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.architecture.repository import ROOT

HOOKS = ROOT / ".pre-commit-config.yaml"


def _targets_of_lint() -> list[str]:
    found = re.search(r"^lint: ([a-z -]+?) *(##.*)?$", (ROOT / "Makefile").read_text(), re.M)
    assert found is not None
    return found[1].split()


def _sqlfluff(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sqlfluff", "lint", "--processes", "1", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_pre_commit_runs_what_make_lint_runs() -> None:
    (repo,) = yaml.safe_load(HOOKS.read_text())["repos"]
    assert repo["repo"] == "local"
    assert [hook["entry"] for hook in repo["hooks"]] == [
        f"make {target}" for target in _targets_of_lint()
    ]


def test_the_configuration_of_pre_commit_is_valid() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", str(HOOKS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sqlfluff_reads_a_query_as_psycopg_does(tmp_path: Path) -> None:
    query = tmp_path / "query.sql"
    query.write_text(
        "select name, day\nfrom core.{table}\n"
        "where client_id = %(client_id)s and id %% 7 = %(rest)s::integer;\n"
    )
    done = _sqlfluff(str(query), "--config", "pyproject.toml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("select name form core.goods;\n", "PRS"),
        ("SELECT name FROM core.goods;\n", "CP01"),
        ("select Name from core.goods;\n", "CP02"),
        (f"select {'long_name, ' * 10}name\nfrom core.goods;\n", "LT05"),
        ("with unused as (select 1 as one)\n\nselect name from core.goods;\n", "ST03"),
    ],
)
def test_sqlfluff_refuses_what_is_wrong(tmp_path: Path, text: str, rule: str) -> None:
    query = tmp_path / "query.sql"
    query.write_text(text)
    done = _sqlfluff(str(query), "--config", "pyproject.toml")
    assert done.returncode == 1
    assert rule in done.stdout


def test_sqlfluff_ignores_migrations() -> None:
    """A change of their layout would change their checksums."""
    done = _sqlfluff("sql/migrations")
    assert done.returncode == 0, done.stdout
