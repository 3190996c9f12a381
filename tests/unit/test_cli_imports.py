"""What `lcm` imports, and when: only the called command, with garbage collection paused."""

import gc
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version

import pytest

from lcm_pipeline.cli import commands
from lcm_pipeline.cli.commands import HELP_LINES
from lcm_pipeline.cli.lazy_group import large_imports, lazy_import, load_command
from tests.waiting import PATIENCE

_LARGE = ("dagster", "pandas", "sqlalchemy", "psycopg", "httpx", "lxml")
_PROBE = """
import atexit, sys
sys.argv = ["lcm", *sys.argv[1:]]
atexit.register(lambda: print("\\n", *sys.modules))
from lcm_pipeline.cli import main
main()
"""


@pytest.fixture(autouse=True)
def _restore_collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_collection_is_paused_during_imports_and_imported_objects_are_frozen() -> None:
    with large_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_failed_import_resumes_collection() -> None:
    with pytest.raises(ModuleNotFoundError), large_imports():
        import no_such_library  # noqa: F401
    assert gc.isenabled()


def test_each_file_of_commands_is_a_command_and_help_has_its_first_sentence() -> None:
    files = {module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__)}
    assert files == set(HELP_LINES)
    for name, line in HELP_LINES.items():
        python_name = name.replace("-", "_")
        command = getattr(import_module(f"lcm_pipeline.cli.commands.{python_name}"), python_name)
        text = inspect.getdoc(command)
        assert text is not None
        assert " ".join(text.split("\n\n")[0].split()) == line
        assert load_command(name).name == name


def test_help_has_no_line_breaks_within_a_paragraph() -> None:
    for name in HELP_LINES:
        help_text = str(load_command(name).help)
        for paragraph in help_text.split("\n\n"):
            assert "\n" not in paragraph or paragraph.startswith("\b"), name


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("--version",), ("no-such-command",)])
def test_without_a_command_no_command_and_no_large_library_is_imported(
    words: tuple[str, ...],
) -> None:
    modules = _imported(*words)
    assert not modules & {*_LARGE, "lcm_pipeline.settings"}
    assert not [name for name in modules if name.startswith("lcm_pipeline.cli.commands.")]


def test_a_command_imports_itself_and_no_other() -> None:
    modules = _imported("status", "--help")
    called = [name for name in modules if name.startswith("lcm_pipeline.cli.commands.")]
    assert called == ["lcm_pipeline.cli.commands.status"]


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        (("sync", "--date", "tomorrow"), ("dagster", "pandas")),
        (("push", "--help"), ("dagster", "aiohttp", "httpx", "pandas")),
        *(((name, "--help"), ("dagster", "pandas")) for name in HELP_LINES),
    ],
)
def test_help_and_a_wrong_option_import_no_large_library(
    words: tuple[str, ...], spared: tuple[str, ...]
) -> None:
    assert not _imported(*words) & {*spared}


def test_a_sync_needs_no_pandas() -> None:
    code = "import sys, lcm_pipeline.orchestration.launch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pandas" not in done.stdout.split()


def test_a_missing_module_fails_where_it_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"lcm_pipeline\.no_such_module"):
        lazy_import("lcm_pipeline.no_such_module")


def test_the_version_is_that_of_the_package() -> None:
    assert f"lcm {version('lcm-pipeline')}\n" in _run("--version").stdout


def test_the_error_for_a_misspelt_command_suggests_the_nearest() -> None:
    ended = _run("sycn")
    assert ended.returncode == 2
    assert "Did you mean 'sync'?" in ended.stderr


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROBE, *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _imported(*words: str) -> set[str]:
    return set(_run(*words).stdout.splitlines()[-1].split())
