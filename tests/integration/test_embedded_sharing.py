"""The embedded server runs while someone uses it, for all who do, and not a moment longer."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.integration.embedded_users import (
    User,
    answers,
    kill_processes,
    server_processes,
    started,
)
from tests.waiting import PATIENCE, wait_for


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("home") / ".lcm"
    yield place
    left = server_processes(place)
    kill_processes(left)
    assert not left


def test_a_session_is_utf8_and_utc_and_the_server_listens_on_no_network(home: Path) -> None:
    shown = "server_encoding", "timezone", "listen_addresses", "jit", "synchronous_commit"
    with embedded_postgres(home) as url, psycopg.connect(url) as session:
        values = [session.execute(f"show {name}").fetchone() for name in shown]
        upper = session.execute("select upper('привет')").fetchone()
    assert values == [("UTF8",), ("UTC",), ("",), ("off",), ("on",)]
    assert upper == ("ПРИВЕТ",)
    assert (home / "postgres").stat().st_mode & 0o777 == 0o700


def test_nothing_runs_any_more_when_the_context_has_ended(home: Path) -> None:
    with embedded_postgres(home):
        pass
    wait_for(lambda: not server_processes(home))


def test_rows_are_there_after_a_restart(home: Path) -> None:
    with embedded_postgres(home) as url, psycopg.connect(url) as session:
        session.execute("create table kept as select 7 as number")
    with embedded_postgres(home) as url, psycopg.connect(url) as session:
        assert session.execute("select number from kept").fetchone() == (7,)


def test_commands_at_once_share_one_server_until_the_last_leaves(home: Path) -> None:
    users = [User(home) for _ in range(4)]
    urls = {user.await_url() for user in users}
    assert len(urls) == 1
    for user in users[:3]:
        assert user.leave() == 0
        assert answers(users[3].url)
    assert users[3].leave() == 0
    wait_for(lambda: not server_processes(home))


@pytest.mark.slow
def test_a_command_that_leaves_first_does_not_wait_for_the_others(home: Path) -> None:
    stays = started(home)
    leaves = started(home)
    leaves.process.communicate("\n", timeout=PATIENCE)
    assert stays.leave() == 0


@pytest.mark.slow
def test_a_command_that_comes_while_the_server_stops_starts_it_again(home: Path) -> None:
    for _ in range(5):
        with embedded_postgres(home):
            follower = User(home)
        assert answers(follower.await_url())
        assert follower.leave() == 0


def test_contexts_nest_and_run_in_threads(home: Path) -> None:
    outcomes: list[bool] = []

    def use() -> None:
        with embedded_postgres(home) as url:
            outcomes.append(answers(url))

    with embedded_postgres(home) as outer, embedded_postgres(home) as inner:
        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outer == inner
        assert answers(outer)
    assert outcomes == [True] * 8


def test_two_ways_to_write_a_home_are_one_server(home: Path) -> None:
    home.mkdir()
    link = home.parent / "link"
    link.symlink_to(home)
    with embedded_postgres(home) as url, embedded_postgres(link) as other:
        assert url == other


def test_a_forked_child_does_not_keep_the_server_up(home: Path) -> None:
    go_on = multiprocessing.get_context("fork").Event()
    with embedded_postgres(home):
        child = multiprocessing.get_context("fork").Process(target=go_on.wait)
        child.start()
    try:
        wait_for(lambda: not server_processes(home))
    finally:
        go_on.set()
        child.join()


def test_a_forked_child_that_leaves_the_context_takes_nothing_from_its_parent(home: Path) -> None:
    context = embedded_postgres(home)
    url = context.__enter__()
    child = os.fork()
    if child == 0:
        context.__exit__(None, None, None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert answers(url)
    context.__exit__(None, None, None)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(home: Path) -> None:
    sessions = set()
    with embedded_postgres(home):
        for pid in server_processes(home):
            with suppress(ProcessLookupError):  # a worker of the server that has just ended
                sessions.add(os.getsid(pid))
    assert sessions
    assert os.getsid(0) not in sessions


def test_a_home_with_a_long_name_has_its_socket_elsewhere(home: Path) -> None:
    far = home / ("long-" * 20) / "Каталог, с запятой"
    with embedded_postgres(far) as url, psycopg.connect(url) as session:
        sockets = Path(
            str(session.execute("show unix_socket_directories").fetchone()).strip("(',)\"")
        )
        assert sockets.stat().st_mode & 0o777 == 0o700
    wait_for(lambda: not server_processes(far))
    assert not sockets.exists()
