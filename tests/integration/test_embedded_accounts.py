"""The embedded server runs as root, without user namespaces, and as an ordinary user."""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lcm_pipeline.warehouse.embedded.binaries import find_binaries
from tests.integration.embedded_users import (
    SOURCES,
    User,
    answers,
    guard_pids,
    kill_processes,
    postmaster_pid,
    server_processes,
    started,
    supervisor_pids,
)
from tests.waiting import wait_for

NOBODY = 65534
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become someone else")

_WITHOUT_NAMESPACES = """
import ctypes, os, sys
mapped, unshared = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0
    os.write(unshared[1], b"x")
    os.read(mapped[0], 1)
    os.setuid(0)
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    for capability in os.environ.get("TEST_WITHOUT_CAPABILITIES", "").split():
        assert ctypes.CDLL(None).prctl(24, int(capability), 0, 0, 0) == 0
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
os.read(unshared[0], 1)
for kind in ("uid_map", "gid_map"):
    open(f"/proc/{child}/{kind}", "w").write("0 0 65536")
os.write(mapped[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """In a folder that others may enter, which those of pytest are not."""
    with TemporaryDirectory(prefix="lcm-test-") as outer:
        Path(outer).chmod(0o755)
        place = Path(outer) / ".lcm"
        yield place
        try:
            wait_for(lambda: not server_processes(place))
        finally:
            kill_processes(server_processes(place))


def _python_for_others() -> list[str]:
    """An interpreter that an ordinary user may run, with this environment's packages."""
    for python in (sys.executable, shutil.which("python3", path=os.defpath)):
        if python is not None and _runs_for_others(python):
            return [python]
    pytest.skip("no Python that an ordinary user could run with these packages")


def _environment() -> dict[str, str]:
    packages = [*site.getsitepackages(), sysconfig.get_path("purelib")]
    return {"PYTHONPATH": os.pathsep.join([str(SOURCES), *packages]), "PATH": os.defpath}


def _runs_for_others(python: str) -> bool:
    probe = "import sys, psycopg, lcm_pipeline.settings; sys.exit(sys.version_info < (3, 11))"
    try:
        done = subprocess.run(
            [python, "-c", probe],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env=_environment(),
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _owner_of_server(home: Path) -> int:
    return Path(f"/proc/{postmaster_pid(home)}").stat().st_uid


def test_an_ordinary_user_runs_the_server_as_himself(home: Path) -> None:
    python = _python_for_others()
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    user = User(home, python, account=NOBODY, environment=_environment())
    assert answers(user.await_url())
    assert _owner_of_server(home) == NOBODY
    assert user.leave() == 0


@pytest.mark.slow
def test_root_and_the_folder_s_ordinary_user_can_take_turns(home: Path) -> None:
    python = _python_for_others()
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    for _ in range(2):
        user = User(home, python, account=NOBODY, environment=_environment())
        user.await_url()
        root = started(home)
        assert user.leave() == 0
        assert answers(root.url)
        assert root.leave() == 0
        assert started(home).leave() == 0


@pytest.mark.slow
def test_root_keeps_its_files_as_its_own(home: Path) -> None:
    user = started(home)
    assert (home / "postgres/data").stat().st_uid == 0
    assert user.leave() == 0


@pytest.mark.slow
def test_root_without_namespaces_runs_the_server_as_nobody(home: Path) -> None:
    root_made = started(home)
    assert root_made.leave() == 0
    user = User(home, [sys.executable, "-c", _WITHOUT_NAMESPACES])
    assert answers(user.await_url())
    assert _owner_of_server(home) == NOBODY
    assert (home / "postgres/data").stat().st_uid == NOBODY
    assert user.leave() == 0
    assert started(home).leave() == 0


@pytest.fixture
def private_programs() -> Iterator[Path]:
    """The programs of Postgres below a folder that root alone may enter."""
    with TemporaryDirectory(prefix="lcm-test-") as outer:
        package = find_binaries(None).parents[1]
        for folder in package.parent.glob(f"{package.name}*"):
            # The libraries lie beside the package.
            if folder.name in (package.name, f"{package.name}.libs"):
                shutil.copytree(folder, Path(outer) / folder.name, symlinks=True)
        yield Path(outer) / find_binaries(None).relative_to(package.parent)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("lacking", [(), (DAC_READ_SEARCH,)], ids=["root", "root of a container"])
def test_root_without_namespaces_may_keep_all_below_a_private_folder(
    home: Path, private_programs: Path, lacking: tuple[int, ...]
) -> None:
    home.parent.chmod(0o700)
    environment = {
        **os.environ,
        "PG_BINDIR": str(private_programs),
        "TEST_WITHOUT_CAPABILITIES": " ".join(map(str, lacking)),
    }
    for _ in range(2):
        user = User(home, [sys.executable, "-c", _WITHOUT_NAMESPACES], environment=environment)
        assert answers(user.await_url())
        assert _owner_of_server(home) == NOBODY
        # Of root's rights the server has the one to pass through folders, and no other.
        status = Path(f"/proc/{postmaster_pid(home)}/status").read_text()
        kept = DAC_OVERRIDE if lacking else DAC_READ_SEARCH
        for kind in ("CapPrm", "CapEff"):
            assert f"{kind}:\t{1 << kept:016x}\n" in status
        assert user.leave() == 0


@pytest.mark.slow
def test_a_server_below_a_private_folder_ends_with_its_watchers(home: Path) -> None:
    home.parent.chmod(0o700)
    user = User(home, [sys.executable, "-c", _WITHOUT_NAMESPACES])
    user.await_url()
    server = postmaster_pid(home)
    user.kill()
    kill_processes([*supervisor_pids(home), *guard_pids(home)])
    wait_for(lambda: not Path(f"/proc/{server}").exists())


def test_a_home_that_no_account_can_enter_is_refused_with_the_way_out(home: Path) -> None:
    home.parent.chmod(0o700)
    lacking = {"TEST_WITHOUT_CAPABILITIES": f"{DAC_OVERRIDE} {DAC_READ_SEARCH}"}
    python = [sys.executable, "-c", _WITHOUT_NAMESPACES]
    user = User(home, python, environment={**os.environ, **lacking})
    words = user.refusal()
    assert "does not run as root" in words
    assert "LCM_DATABASE_URL" in words
