"""Whatever is killed: users that live work on, the next command finds a server, none is left."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.integration.embedded_users import (
    User,
    answers,
    guard_pids,
    kill_processes,
    postmaster_pid,
    server_processes,
    started,
    supervisor_pids,
)
from tests.waiting import PATIENCE, wait_for


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / ".lcm"


@pytest.fixture
def user(home: Path) -> Iterator[User]:
    user = started(home)
    yield user
    if user.process.returncode is None:
        user.kill()
    try:
        wait_for(lambda: not server_processes(home))
    finally:
        kill_processes(server_processes(home))


def test_a_killed_command_takes_the_server_along(home: Path, user: User) -> None:
    user.kill()
    wait_for(lambda: not server_processes(home))


def test_sessions_go_on_when_the_supervisor_is_killed(home: Path, user: User) -> None:
    with psycopg.connect(user.url, autocommit=True) as session:
        for _ in range(3):
            # There may be two for a moment, of which one holds the lock: the guard and the command
            # both launch a supervisor.
            killed = set(supervisor_pids(home))
            kill_processes(list(killed))
            wait_for(lambda: bool(set(supervisor_pids(home)) - killed))  # noqa: B023
            assert session.execute("select 1").fetchone() == (1,)
            assert answers(user.url)
    assert user.leave() == 0


def test_a_killed_guard_is_replaced_with_a_new_server(home: Path, user: User) -> None:
    before = guard_pids(home)
    kill_processes(before)
    wait_for(lambda: guard_pids(home) not in ([], before) and answers(user.url))
    assert user.leave() == 0


def test_a_live_command_restarts_supervisor_and_guard(home: Path, user: User) -> None:
    kill_processes([*supervisor_pids(home), *guard_pids(home)])
    wait_for(lambda: len(supervisor_pids(home)) == 1 and answers(user.url))
    assert user.leave() == 0


def test_a_killed_postmaster_is_started_again_for_its_users(home: Path, user: User) -> None:
    for _ in range(3):
        before = postmaster_pid(home)
        with psycopg.connect(user.url) as session:
            kill_processes([before])
            with pytest.raises(psycopg.OperationalError):
                session.execute("select pg_sleep(10)")
        wait_for(lambda: answers(user.url) and postmaster_pid(home) != before)  # noqa: B023
    assert user.leave() == 0


def test_no_server_outlives_all_who_watch_it(home: Path, user: User) -> None:
    with psycopg.connect(user.url):
        kill_processes([user.process.pid, *supervisor_pids(home), *guard_pids(home)])
        user.process.communicate(timeout=PATIENCE)
    wait_for(lambda: not server_processes(home))


def test_the_next_command_recovers_when_all_are_killed_at_once(home: Path, user: User) -> None:
    for round_number in range(4):
        with psycopg.connect(user.url, autocommit=True) as session:
            session.execute("create table if not exists rounds (number integer)")
            session.execute("insert into rounds values (%s)", [round_number])
            kill_processes([user.process.pid, *server_processes(home)])
        user.process.communicate(timeout=PATIENCE)
        user.process = User(home).process
        with psycopg.connect(user.await_url()) as session:
            found = session.execute("select count(*) from rounds").fetchone()
        assert found == (round_number + 1,)


def test_a_command_killed_while_the_server_starts_leaves_nothing(home: Path) -> None:
    for pause in (0.0, 0.2, 0.3, 0.4):
        hasty = User(home)
        time.sleep(pause)
        hasty.kill()
        wait_for(lambda: not server_processes(home))


def test_a_pid_that_was_given_away_is_not_taken_for_the_server(home: Path) -> None:
    with embedded_postgres(home):
        kept = (home / "postgres/data/postmaster.pid").read_text()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        stale = "\n".join([str(stranger.pid), *kept.splitlines()[1:]])
        (home / "postgres/data/postmaster.pid").write_text(stale + "\n")
        with embedded_postgres(home) as url:
            assert answers(url)
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_a_pid_file_that_was_never_written_out_does_not_stop_the_start(home: Path) -> None:
    with embedded_postgres(home):
        pid_file = home / "postgres/data/postmaster.pid"
    pid_file.write_text("")
    with embedded_postgres(home) as url:
        assert answers(url)


@pytest.mark.slow
def test_a_home_that_is_removed_under_the_server_ends_it(tmp_path: Path) -> None:
    home = tmp_path / ".lcm"
    with embedded_postgres(home):
        running = server_processes(home)
        home.rename(tmp_path / "gone")
        wait_for(lambda: not any(Path(f"/proc/{pid}/cwd").exists() for pid in running))
    with embedded_postgres(home) as url:
        assert answers(url)
