"""An installed wheel works without the checkout, and contains nothing generated."""

import ast
import os
import re
import signal
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from lcm_pipeline.superset.bundle import bundle_of
from lcm_pipeline.warehouse.connection import Warehouse
from tests.architecture.repository import ROOT, repository_files
from tests.ports import free_port, responds
from tests.waiting import PATIENCE, wait_for

# Long enough to install a hundred packages on a slow network and a busy machine.
_INSTALLING_SECONDS = 900


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network by the backend that pyproject.toml names."""
    return _build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def _build(source: Path, target: str, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=source, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.iterdir()
    return built


class CleanEnvironment:
    """An environment with the locked packages and the wheel, used from an empty folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables of a user, without any of the checkout."""
        return {"PATH": f"{self.programs}{os.pathsep}/usr/bin:/bin", "HOME": str(self.folder)}

    def lcm(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.programs / "lcm", *words], cwd=self.folder, env=self.variables,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """The wheel installed as a user installs it; skips where no package index can be reached."""
    folder = tmp_path_factory.mktemp("clean")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, capture_output=True)
    pip = [
        str(environment / "bin" / "python"),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
    ]
    probe = subprocess.run(
        [*pip, "download", "--retries", "1", "--no-deps", "--dest", folder / "probe", "iniconfig"],
        capture_output=True, text=True, timeout=_INSTALLING_SECONDS, check=False,
    )  # fmt: skip
    if probe.returncode != 0:
        pytest.skip(f"no package index can be reached: {probe.stderr.strip().splitlines()[-1]}")
    lock = ROOT / "requirements.lock"
    # Without compiling, because few modules are imported; without resolving, because the
    # lock is complete.
    for words in (["--require-hashes", "-r", str(lock)], [str(wheel)]):
        done = subprocess.run(
            [*pip, "install", "--no-compile", "--no-deps", *words],
            capture_output=True, text=True, timeout=_INSTALLING_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return CleanEnvironment(environment / "bin", folder)


def test_the_wheel_holds_every_file_that_the_package_reads(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    paths = [
        path.as_posix()
        for path in repository_files("lcm_pipeline", "sql", "dashboards", "dagster.yaml")
    ]
    wanted = {
        path if path.startswith("lcm_pipeline/") else f"lcm_pipeline/{path}" for path in paths
    }
    shipped = {name for name in names if name.startswith("lcm_pipeline/")}
    assert shipped == wanted
    assert "lcm_pipeline/py.typed" in shipped


def test_the_wheel_holds_the_definition_of_the_dashboards_and_no_bundle(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        dashboards = [n for n in archive.namelist() if n.startswith("lcm_pipeline/dashboards/")]
    folders = {name.split("/")[2] for name in dashboards if name.count("/") > 2}
    assert folders == {"definition", "server"}


@pytest.mark.slow
def test_lcm_bundle_of_the_wheel_writes_the_bundle_of_the_checkout(
    wheel: Path, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Without a warehouse setting: the wheel's SQL creates one in the embedded Postgres."""
    installed = tmp_path / "installed"
    with ZipFile(wheel) as archive:
        archive.extractall(installed)
    program = (
        "import lcm_pipeline, sys; print(lcm_pipeline.__file__); "
        "from lcm_pipeline.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "bundle"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    folder = tmp_path / "build" / "dashboards"
    written = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert written == bundle_of(warehouse)


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    archive = _build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    again = _build(tmp_path / archive.name.removesuffix(".tar.gz"), "wheel", tmp_path / "again")
    with ZipFile(wheel) as first, ZipFile(again) as second:
        assert {one.filename: one.CRC for one in first.infolist()} == {
            one.filename: one.CRC for one in second.infolist()
        }


@pytest.mark.slow
def test_a_clean_install_has_no_tools_and_runs_the_demo(clean: CleanEnvironment) -> None:
    version = clean.lcm("--version")
    assert re.fullmatch(r"lcm \d+\.\d+\.\d+\S*\n", version.stdout), version.stderr
    packages = {path.name for path in clean.programs.parent.glob("lib/*/site-packages/*")}
    assert not packages & {"mypy", "playwright", "pytest", "pyarrow", "altair", "vl_convert"}
    demo = clean.lcm("demo", "--clients", "30", "--days", "2")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "lcm init" in demo.stdout
    assert "make" not in demo.stdout


def _demo_home(clean: CleanEnvironment) -> Path:
    """The home of the demo, which is run unless an earlier test of this process has run it."""
    homes = clean.folder / ".lcm" / "demo"
    if not homes.exists():
        demo = clean.lcm("demo", "--clients", "30", "--days", "2")
        assert demo.returncode == 0, demo.stdout + demo.stderr
    return next(homes.iterdir())


@pytest.mark.slow
def test_a_clean_install_names_the_extra_that_a_command_lacks(clean: CleanEnvironment) -> None:
    cases = {
        "report": "pip install 'lcm_pipeline[report]'",
        "export program_daily --format parquet": "pip install 'lcm_pipeline[parquet]'",
    }
    home = _demo_home(clean)
    for words, advice in cases.items():
        assert clean.lcm(*words.split()[:1], "--help").returncode == 0
        done = subprocess.run(
            [clean.programs / "lcm", *words.split()], cwd=clean.folder,
            env={**clean.variables, "LCM_HOME": str(home)},
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert advice in done.stderr
        assert "Traceback" not in done.stderr
    superset = clean.lcm("dashboards")
    assert superset.returncode == 2
    (lock,) = re.findall(r"-r (\S+requirements\.lock)", superset.stderr)
    assert Path(lock).is_file()


@pytest.mark.slow
def test_a_clean_install_serves_the_page_and_writes_the_bundle(clean: CleanEnvironment) -> None:
    home = _demo_home(clean)
    variables = {**clean.variables, "LCM_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    output = clean.folder / "served"
    with output.open("w") as file:
        page = subprocess.Popen(
            [clean.programs / "lcm", "ui", "--only", "web", "--port", str(free_port())],
            cwd=clean.folder, env=variables, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        wait_for(lambda: page.poll() is not None or "?token=" in output.read_text())
        (link,) = re.findall(r"http://\S+", output.read_text())
        assert responds(link)
        page.send_signal(signal.SIGTERM)
        assert page.wait(PATIENCE) == 0
    finally:
        page.kill()
        page.wait()
    assert clean.lcm("bundle").returncode == 0
    assert list((clean.folder / "dist").glob("*.zip"))


def test_the_lock_of_all_extras_holds_each_extra_that_users_may_choose() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (listed,) = re.findall(r"^EXTRAS := (.*)$", makefile, re.MULTILINE)
    extras = project["optional-dependencies"]
    assert set(listed.split()) == set(extras) - {"dev"}
    locks = {
        name: _pinned(ROOT / f"requirements{name}.lock") for name in ("", "-all", "-dev", "-build")
    }
    assert locks["-all"] >= _names([one for name in listed.split() for one in extras[name]])
    assert locks[""] >= _names(project["dependencies"])
    assert locks[""] <= locks["-all"] <= locks["-dev"]
    assert locks["-build"] <= locks["-dev"]
    assert not locks["-all"] & {"mypy", "playwright", "pytest", "ruff"}


def test_each_package_that_the_modules_import_is_a_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = project["dependencies"] + [
        one for name in set(extras) - {"dev"} for one in extras[name]
    ]
    provided = packages_distributions()
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "lcm_pipeline").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in _imported(node)
    }
    others = imported - sys.stdlib_module_names - {"lcm_pipeline"}
    assert {"aiohttp", "dagster", "httpx"} <= others
    undeclared = {name for name in others if not _names(provided[name]) & _names(required)}
    assert undeclared == set()


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=; ]", one)[0].lower().replace("_", "-") for one in requirements}


def _pinned(lock: Path) -> set[str]:
    """The packages of a lock, each with a version and a hash for every file."""
    text = lock.read_text("utf-8")
    assert len(re.findall(r"^[a-z0-9].*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(
        re.findall(r"^[a-z0-9]", text, re.MULTILINE)
    )
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,0-9-]+\])?==", text, re.MULTILINE))
