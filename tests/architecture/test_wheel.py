"""What is installed from the wheel works without the checkout, and holds nothing generated."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from lcm_pipeline.superset.bundle import bundle_of
from lcm_pipeline.warehouse.connection import Warehouse
from tests.architecture.repository import ROOT, repository_files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network by the backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


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


def test_lcm_bundle_of_the_wheel_writes_the_bundle_of_the_checkout(
    wheel: Path, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Without a warehouse of one's own: the wheel's SQL makes one in the embedded Postgres."""
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
