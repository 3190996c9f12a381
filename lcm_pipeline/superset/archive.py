"""Writes the bundle: as a folder to read, or as a zip to import."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.superset.bundle import DATABASE_FILE

_ROOT = "lcm_dashboards"


class BundleFolderError(UsageError):
    """The folder holds something other than a bundle, which would be deleted."""


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into the folder, replacing an earlier bundle.

    Raises BundleFolderError, before anything is deleted, if the folder holds anything else.
    """
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / DATABASE_FILE).exists()):
            raise BundleFolderError(
                f"'{folder}' holds something other than a bundle (there is no {DATABASE_FILE} in"
                " it), and writing a bundle there would delete it: name an empty or a new folder"
                " with --output"
            )
        shutil.rmtree(folder)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the zip; equal files give an identical zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            # ZipInfo without a time stamp, so that equal files give an identical zip.
            archive.writestr(ZipInfo(f"{_ROOT}/{name}"), text, compress_type=ZIP_DEFLATED)
