"""Dagster's own home and storage: a folder in LCM_HOME with SQLite, or Postgres.

The home's `dagster.yaml` is the project's own with the storage added. The first process creates it
under a lock, since two processes cannot create SQLite's tables at once. An address with a password
is passed in the environment, never written to the file.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from lcm_pipeline.files import DISK_FULL, replacing, shipped
from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.model.texts import database_message
from lcm_pipeline.orchestration.dagster_internals import SqlRunStorage
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.poolers import REFUSED_OPTIONS

# The module that processes of Dagster load.
CODE_LOCATION = "lcm_pipeline.definitions"
# Not named LCM_*, which would make it a setting.
_URL_VARIABLE = "DAGSTER_STORAGE_URL"
# What Dagster relies on, whatever its role or database sets: it writes, and reads times as UTC.
_SESSION_OPTIONS = (
    "-c default_transaction_read_only=off -c statement_timeout=0 -c idle_session_timeout=0"
    " -c timezone=UTC -c standard_conforming_strings=on -c jit=off"
)
# The rest of the template is for a `dagster` command without DAGSTER_HOME.
_STORAGE_MARK = "# --- storage"
# Any number, of a lock in Dagster's own database.
_CREATION_LOCK = 4_021_763_552
# SQLite's words for some full disks, and for a disk that fails.
_IO_ERROR = "disk I/O error"


class DagsterStorageError(UsageError):
    """Dagster cannot record its runs; the message says where, why, and what to do."""


class DagsterStorageLostError(UserError):
    """Dagster can no longer record its runs, as on a full disk; the message says what to do."""


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of the settings; safe to open from many processes at once.

    Raises DagsterStorageError when it cannot be opened, DagsterStorageLostError when the disk is
    full or its database fails later.
    """
    _check_postgres(settings)
    with _environment(instance_variables(settings)):
        try:
            with locked_home(settings) as home, _locked_database(settings):
                instance = dg.DagsterInstance.from_config(str(home))
        except (OSError, sa.exc.SQLAlchemyError) as error:
            if _is_full(error) or _IO_ERROR in str(error):
                raise _storage_lost(settings, error) from error
            where = str(instance_home(settings))
            advice = "set LCM_HOME to a folder that you may write to"
            if isinstance(error, sa.exc.SQLAlchemyError) and settings.dagster_database_url:
                where = "the database of LCM_DAGSTER_DATABASE_URL"
                advice = "check what its user may do there"
            cause = str(error).splitlines()[0]
            raise DagsterStorageError(
                f"Dagster cannot record its runs in {where} ({cause}): {advice}"
            ) from error
        with instance:
            try:
                yield instance
            except sa.exc.SQLAlchemyError as error:
                raise _storage_lost(settings, error) from error


def storage_id_of(instance: dg.DagsterInstance) -> str:
    """The id of Dagster's storage, which is created at the first request."""
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)  # noqa: S101 - SQLite and Postgres are
    storage.get_run_storage_id()
    # Two processes may have created one each at once: all take the first.
    return storage.get_run_storage_id()


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) in DISK_FULL or "is full" in str(error)


def _storage_lost(settings: Settings, error: Exception) -> DagsterStorageLostError:
    """Name where the runs are recorded, the cause without the statement, and what to do."""
    where, advice = "the database of LCM_DAGSTER_DATABASE_URL", "check that it runs"
    if settings.dagster_database_url is None:
        where, advice = str(instance_home(settings)), "check the disk and its free space"
    cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0].rstrip(".")
    if _is_full(error):
        advice = "free some space"
    return DagsterStorageLostError(
        f"Dagster cannot record its runs in {where} ({cause}). What was done is kept: {advice},"
        " then run the same command again to go on"
    )


def instance_home(settings: Settings) -> Path:
    """The folder that is DAGSTER_HOME."""
    return settings.home_path / "dagster"


def instance_variables(settings: Settings) -> dict[str, str]:
    """The environment that a process of Dagster needs, besides LCM_*."""
    variables = {
        "DAGSTER_HOME": str(instance_home(settings)),
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "LCM_HOME": str(settings.home_path),
    }
    url = postgres_url(settings)
    if url is not None:
        variables[_URL_VARIABLE] = url
    return variables


def postgres_url(settings: Settings) -> str | None:
    """LCM_DAGSTER_DATABASE_URL in the form that Dagster takes, tested by connecting; or None.

    Raises SQLAlchemyError or ValueError when it does not work.
    """
    if settings.dagster_database_url is None:
        return None
    _, _, address = settings.dagster_database_url.get_secret_value().partition("://")
    # SQLAlchemy 2.1 takes postgresql:// for psycopg 3, and Dagster's NOTIFY then fails.
    given = sa.make_url(f"postgresql+psycopg2://{address}")
    given = given.update_query_dict({"client_encoding": "utf8"})
    own = given.query.get("options") or ()
    options = " ".join([_SESSION_OPTIONS, *((own,) if isinstance(own, str) else own)])
    try:
        return _tested(given.update_query_dict({"options": options}))
    except sa.exc.OperationalError as error:
        if REFUSED_OPTIONS not in str(error):
            raise
    # Connection poolers reject the options.
    return _tested(given.difference_update_query(["options"]))


@contextmanager
def locked_home(settings: Settings) -> Iterator[Path]:
    """Create and lock DAGSTER_HOME: two processes cannot create SQLite's tables at once."""
    _make_private(instance_home(settings))
    with (instance_home(settings) / ".opening").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield prepare_home(settings)


@contextmanager
def _locked_database(settings: Settings) -> Iterator[None]:
    """Lock Dagster's database: two machines cannot create its tables at once either."""
    url = postgres_url(settings)
    if url is None:
        yield
        return
    # The lock ends with its transaction, and so works behind connection poolers.
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
        yield


def _make_private(folder: Path) -> None:
    """Create a folder with mode 0700: logs and dagster.yaml are for its owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)


def prepare_home(settings: Settings) -> Path:
    """Create DAGSTER_HOME and its dagster.yaml according to the settings."""
    home = instance_home(settings)
    _make_private(home)
    template = shipped("dagster.yaml").read_text(encoding="utf-8")
    shared, _, _ = template.partition(_STORAGE_MARK)
    text = shared + _storage(settings, home)
    path = home / "dagster.yaml"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with replacing(path) as file:
            file.write(text.encode())
    return home


def _storage(settings: Settings, home: Path) -> str:
    if settings.dagster_database_url is not None:
        return "storage: " + json.dumps({"postgres": {"postgres_url": {"env": _URL_VARIABLE}}})
    event_log = {
        "module": "lcm_pipeline.orchestration.event_log",
        "class": "BatchingEventLog",
        "config": {"base_dir": str(home / "history" / "runs")},
    }
    return "event_log_storage: " + json.dumps(event_log)


def _tested(address: sa.URL) -> str:
    sa.create_engine(address, poolclass=sa.NullPool).connect().close()
    return address.render_as_string(hide_password=False)


def _check_postgres(settings: Settings) -> None:
    try:
        postgres_url(settings)
    except (sa.exc.SQLAlchemyError, ValueError) as error:
        reason = database_message(str(getattr(error, "orig", None) or "not a valid address"))
        raise DagsterStorageError(
            f"Dagster's own database cannot be used: {reason}. Check LCM_DAGSTER_DATABASE_URL, or "
            "leave it out: then Dagster records its runs in LCM_HOME"
        ) from None


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables for the context: Dagster reads them from the environment only."""
    earlier = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in earlier.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
