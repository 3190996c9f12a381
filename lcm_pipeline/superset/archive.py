"""Writes the bundle: as a folder to read, or as a zip to import."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from lcm_pipeline.files import replacing
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.superset.bundle import DATABASE_FILE

_ROOT = "lcm_dashboards"


class BundleFolderError(UsageError):
    """The folder holds something other than a bundle, which would be deleted."""


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into the folder, replacing an earlier bundle; after an error that one stays.

    Raises BundleFolderError, before anything is deleted, if the folder holds anything else.
    """
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / DATABASE_FILE).exists())
    ):
        raise BundleFolderError(
            f"'{folder}' holds something other than a bundle (there is no {DATABASE_FILE} in it),"
            " and writing a bundle there would delete it: name an empty or a new folder with"
            " --output"
        )
    folder = folder.resolve()
    # A part of a bundle in the folder itself would be taken for something else the next time.
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        for name, text in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the zip atomically; equal files give an identical zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file, ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            # ZipInfo without a time stamp, so that equal files give an identical zip.
            archive.writestr(ZipInfo(f"{_ROOT}/{name}"), text, compress_type=ZIP_DEFLATED)
