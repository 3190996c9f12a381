"""The bundle as files: a folder to keep under version control, and a zip to import."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_ROOT = "lcm_dashboards"


def read_bundle(folder: Path) -> dict[str, bytes]:
    """The files of a written bundle by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.yaml"))
    }


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder anew with these files."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the zip; equal files make an equal zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            archive.writestr(ZipInfo(f"{_ROOT}/{name}"), text)
