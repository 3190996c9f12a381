"""Which exceptions end `lcm` with a message and an exit code, and which with a traceback."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import lcm_pipeline
from lcm_pipeline.api.errors import UnavailableError
from lcm_pipeline.cli.failures import exit_code_of
from lcm_pipeline.model.errors import IncompleteError, UsageError, UserError
from lcm_pipeline.settings import SettingsError


def test_a_user_error_has_its_exit_code_whatever_the_name_of_its_class() -> None:
    class RenamedError(SettingsError):
        pass

    assert exit_code_of(RenamedError("advice")) == 2
    assert exit_code_of(UnavailableError("call", "reason", status=503)) == 1
    assert exit_code_of(psycopg.OperationalError("gone")) == 1
    assert exit_code_of(PermissionError("no")) == 1


def test_a_defect_has_no_exit_code() -> None:
    for defect in (ValueError("x"), KeyError("x"), AssertionError("x"), RuntimeError("x")):
        assert exit_code_of(defect) is None


def test_only_the_base_classes_define_an_exit_code() -> None:
    for module in pkgutil.walk_packages(lcm_pipeline.__path__, "lcm_pipeline."):
        importlib.import_module(module.name)
    kinds = list(_subclasses(UserError))
    assert SettingsError in kinds
    own = {kind for kind in kinds if "exit_code" in vars(kind)}
    assert own == {IncompleteError, UsageError}


def test_an_error_is_recognized_without_importing_the_driver() -> None:
    probe = (
        "import sys; from lcm_pipeline.cli.failures import exit_code_of;"
        "from lcm_pipeline.model.errors import UsageError;"
        "print(exit_code_of(UsageError()), exit_code_of(OSError()), exit_code_of(ValueError()),"
        " 'psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "1", "None", "False"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--quirk", "no_such=1"), ("--fault", "{}"), ("--fault", "no"), ("--quirk", "max_length")],
)
def test_wrong_options_of_the_simulator_end_with_2_and_the_reason(
    tmp_path: Path, option: str, value: str
) -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("lcm"), "simulate", option, value],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "the simulator cannot start so" in ended.stderr
    assert "Traceback" not in ended.stderr


def _subclasses(kind: type[UserError]) -> set[type[UserError]]:
    found = set()
    for one in kind.__subclasses__():
        found |= {one, *_subclasses(one)}
    return found
