"""Where the embedded server cannot run, the message says why and what to do."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lcm_pipeline.warehouse.embedded.binaries import find_binaries, major_version
from lcm_pipeline.warehouse.embedded.cluster import explanation
from lcm_pipeline.warehouse.embedded.folder import (
    EmbeddedPostgresError,
    ServerFolder,
    State,
    announce,
    open_lock,
    opened_lock,
    try_lock,
)
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.embedded.supervisor import Supervisor
from tests.integration.embedded_users import server_processes
from tests.waiting import wait_for


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("home") / ".lcm"
    yield place
    wait_for(lambda: not server_processes(place))


def _refusal(home: Path) -> str:
    with pytest.raises(EmbeddedPostgresError) as refusal, embedded_postgres(home):
        pass
    assert "LCM_DATABASE_URL" in str(refusal.value)
    return str(refusal.value)


def _program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_home_that_is_a_file_is_refused(home: Path) -> None:
    home.write_text("")
    assert "LCM_HOME" in _refusal(home)


@pytest.mark.skipif(not Path("/proc/1").is_dir(), reason="needs a folder nobody can write to")
def test_a_home_that_cannot_be_written_is_refused() -> None:
    assert "/proc/lcm/postgres" in _refusal(Path("/proc/lcm"))


def test_a_data_folder_of_another_version_names_both(home: Path) -> None:
    with embedded_postgres(home):
        pass
    (home / "postgres/data/PG_VERSION").write_text("14\n")
    message = _refusal(home)
    assert "was made by PostgreSQL 14" in message
    assert "PG_BINDIR" in message


def test_a_failure_of_the_past_is_not_the_failure_of_today(home: Path) -> None:
    with embedded_postgres(home):
        pass
    version = (home / "postgres/data/PG_VERSION").read_text()
    (home / "postgres/data/PG_VERSION").write_text("14\n")
    _refusal(home)
    (home / "postgres/data/PG_VERSION").write_text(version)
    with embedded_postgres(home) as url:
        assert url


def test_a_server_that_will_not_start_is_quoted(home: Path) -> None:
    with embedded_postgres(home):
        pass
    with (home / "postgres/data/postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    assert "no_such_setting" in _refusal(home)


def test_an_unfinished_data_folder_is_made_anew(home: Path) -> None:
    (home / "postgres/unfinished-1/base").mkdir(parents=True)
    with embedded_postgres(home):
        assert not list((home / "postgres").glob("unfinished-*"))


def test_initdb_that_fails_leaves_nothing_half_made(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = home.parent / "bin"
    programs.mkdir()
    _program(programs, "postgres", "echo 'postgres (PostgreSQL) 18.1'")
    _program(programs, "initdb", 'mkdir "$2"; echo "No space left on device"; exit 1')
    monkeypatch.setenv("PG_BINDIR", str(programs))
    assert "the disk is full" in _refusal(home)
    assert not (home / "postgres/data").exists()
    assert not list((home / "postgres").glob("unfinished-*"))


def test_programs_that_are_missing_or_too_old_are_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"PG_BINDIR is .* holds no postgres"):
        find_binaries(tmp_path)
    _program(tmp_path, "postgres", "echo 'postgres (PostgreSQL) 14.9'")
    with pytest.raises(EmbeddedPostgresError, match="is PostgreSQL 14; 15 or newer"):
        major_version(tmp_path)
    _program(tmp_path, "postgres", "echo wrong architecture >&2; exit 1")
    with pytest.raises(EmbeddedPostgresError, match="wrong architecture"):
        major_version(tmp_path)


def test_an_announcement_takes_the_same_space_whatever_it_says(tmp_path: Path) -> None:
    folder = ServerFolder(tmp_path)
    folder.create()
    with opened_lock(folder.supervisor_lock) as lock:
        announce(lock, State.FAILED, "диск " * 2000)
        size = os.fstat(lock).st_size
        announce(lock, State.READY, "/place")
        assert os.fstat(lock).st_size == size
    assert folder.announced() == (State.READY, "/place")
    folder.forget_announcement()
    assert folder.announced() == (None, "")


def test_a_reason_a_person_can_act_on_comes_first() -> None:
    assert "free some space" in explanation("could not write: No space left on device")
    assert "owner and mode" in explanation("Permission denied")
    assert explanation("something else") == ""


def test_a_full_disk_is_the_reason_if_it_has_no_room_for_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Supervisor, "_adopt_running", lambda _: None)
    monkeypatch.setattr(Supervisor, "_start", lambda _: None)
    folder = ServerFolder(tmp_path)
    folder.create()
    users, lock = (open_lock(path) for path in (folder.users_lock, folder.supervisor_lock))
    in_use = open_lock(folder.users_lock)
    assert try_lock(in_use, fcntl.LOCK_SH)
    supervisor = Supervisor(folder, tmp_path, lock)
    with pytest.raises(EmbeddedPostgresError, match="The end of its log:\nit is empty"):
        supervisor.run_until_unused(users)
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(EmbeddedPostgresError, match="the disk is full: free some space"):
        supervisor.run_until_unused(users)
    # Of an earlier start: this one cannot log.
    folder.start_log.write_text("LOG:  database system is shut down")
    with pytest.raises(EmbeddedPostgresError, match="the disk is full: free some space"):
        supervisor.run_until_unused(users)
    for descriptor in (users, lock, in_use):
        os.close(descriptor)
