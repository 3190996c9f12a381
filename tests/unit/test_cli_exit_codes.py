"""Which exceptions end `lcm` with a message and an exit code, and which with a traceback."""

import errno
import importlib
import os
import pkgutil
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import lcm_pipeline
from lcm_pipeline.api.errors import UnavailableError
from lcm_pipeline.cli import app
from lcm_pipeline.cli.commands import HELP_LINES, RESUMABLE
from lcm_pipeline.cli.failures import exit_code_of, explaining_refused_credentials, message_of
from lcm_pipeline.cli.lazy_group import CommandCall
from lcm_pipeline.model.errors import PartialSuccessError, UsageError, UserError
from lcm_pipeline.settings import SettingsError
from tests.commands import LCM, run
from tests.waiting import PATIENCE


def test_a_user_error_has_its_exit_code_whatever_the_name_of_its_class() -> None:
    class RenamedError(SettingsError):
        pass

    assert exit_code_of(RenamedError("advice")) == 2
    assert exit_code_of(UnavailableError("reason", status=503)) == 1
    assert exit_code_of(psycopg.OperationalError("gone")) == 1
    assert exit_code_of(PermissionError("no")) == 1


def test_a_refused_credential_names_the_setting_and_is_a_usage_error() -> None:
    rerun = "leads: ErrorCode 2 «Токен не найден или устарел»; a rerun may help"
    with pytest.raises(UsageError) as refused, explaining_refused_credentials():
        raise UserError(rerun)
    assert str(refused.value).startswith(
        "the service refuses LCM_TOKEN: ErrorCode 2 «Токен не найден или устарел». Correct it in"
    )
    assert "a rerun may help" not in str(refused.value)
    with pytest.raises(UserError, match="ErrorCode 4"), explaining_refused_credentials():
        raise UserError("leads: ErrorCode 4 «Клиент не найден»; a rerun alone does not help")


def test_a_file_that_cannot_be_written_ends_with_its_path_and_advice(tmp_path: Path) -> None:
    read_only = OSError(errno.EROFS, "Read-only file system", ".program_daily.csv.new")
    assert exit_code_of(read_only) == 2
    assert message_of(read_only) == (
        f"{Path.cwd()}/.program_daily.csv.new cannot be used (Read-only file system):"
        " give a folder that you may write to, as LCM_HOME, as an option or by cd"
    )
    in_the_way = FileExistsError(errno.EEXIST, "File exists", "/x/y")
    assert exit_code_of(in_the_way) == 2
    assert message_of(in_the_way).endswith("give another path, as LCM_HOME, as an option or by cd")
    full = OSError(errno.ENOSPC, "No space left on device", "/x/y")
    assert exit_code_of(full) == 1
    assert message_of(full).endswith("free some space, then run the same command again")
    # A write to a file that is open does not name it.
    unnamed = message_of(OSError(errno.ENOSPC, "No space left on device"))
    assert unnamed.startswith("not everything could be written (No space left on device)")
    assert unnamed.endswith("free some space, then run the same command again")
    assert message_of(OSError("gone")) == "gone"


@pytest.mark.parametrize("words", [("status",), ("sync", "--missing"), ("report",), ("demo",)])
def test_a_current_folder_that_was_removed_exits_with_2(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "gone").mkdir()
    ended = subprocess.run(
        ["/bin/sh", "-c", 'cd gone && rmdir ../gone && exec "$@"', "sh", LCM, *words],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (
        2,
        "lcm: the current folder was removed: cd to a folder, then run the same command again\n",
    )


@pytest.mark.parametrize(
    "words",
    [
        ("report", "--output"),
        ("export", "program_daily", "--output"),
        ("metrics", "--output"),
        ("docs", "--output"),
        ("dbt", "--output"),
        ("bundle", "--output"),
        ("bundle", "--archive"),
    ],
    ids=" ".join,
)
def test_an_output_path_that_cannot_be_used_exits_with_2_before_any_work(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    unusable = ["file/x", "a" * 300]
    if words[-1] == "--output" and words[0] in ("dbt", "bundle"):
        unusable.append("file")
    else:
        unusable.append("folder")
    for path in unusable:
        ended = run(tmp_path, *words, path)
        assert ended.returncode == 2, ended.stderr
        assert "another path" in " ".join(ended.stderr.replace("│", " ").split())
        assert "Traceback" not in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_works_with_closed_standard_streams(tmp_path: Path, closed: str) -> None:
    probe = (
        "import sys; from importlib import import_module;"
        "m = import_module('lcm_pipeline.cli.main'); m.app = lambda obj: open('f', 'w').write("
        "str([s.fileno() for s in (sys.stdin, sys.stdout, sys.stderr)])); m.main()"
    )
    shell = f'exec {sys.executable} -c "$PROBE" {closed}'
    environment = {**os.environ, "PROBE": probe}
    subprocess.run(["/bin/sh", "-c", shell], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "f").read_text() == "[0, 1, 2]"


@pytest.mark.parametrize("printing", ["print('rows', flush=True)", "sys.stdout.write('rows')"])
def test_output_that_cannot_be_written_exits_with_1_and_one_message(printing: str) -> None:
    probe = (
        "import sys; from importlib import import_module;"
        f"m = import_module('lcm_pipeline.cli.main'); m.app = lambda obj: {printing}; m.main()"
    )
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", probe],
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == (
        "lcm: not everything could be written (No space left on device): free some space, then"
        " run the same command again\n"
    )


def test_output_that_nobody_reads_to_the_end_is_no_traceback() -> None:
    probe = (
        "import sys; from importlib import import_module;"
        "m = import_module('lcm_pipeline.cli.main'); m.app = lambda obj: sys.stdout.write('rows');"
        "m.main()"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("print('a progress line', file=sys.stderr)", 0),
        ("sys.exit('a message')", 1),
        ("usage()", 2),
        ("sys.exit(3)", 3),
        ("interrupt()", 130),
    ],
)
@pytest.mark.parametrize("is_full", [False, True])
def test_messages_that_cannot_be_written_change_no_exit_code(
    ending: str, code: int, is_full: bool
) -> None:
    probe = (
        "import sys; from importlib import import_module;"
        "from lcm_pipeline.model.errors import UsageError\n"
        "def usage(): raise UsageError('no such day')\n"
        "def interrupt(): print('Interrupted', file=sys.stderr); sys.exit(130)\n"
        "def app(obj):\n"
        "    print('a line', file=sys.stderr)\n"
        f"    {ending}\n"
        "m = import_module('lcm_pipeline.cli.main'); m.app = app; m.main()"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", probe],
            stdout=subprocess.PIPE,
            stderr=full if is_full else writer,
            check=False,
        )
    os.close(writer)
    assert (ended.returncode, ended.stdout) == (code, b"")


@pytest.mark.parametrize("is_nested", [False, True])
def test_ctrl_c_during_an_import_ends_without_a_traceback(tmp_path: Path, is_nested: bool) -> None:
    package = tmp_path / "large"
    package.mkdir()
    interrupted = "inner" if is_nested else "library"
    # Python clears the interrupt of a lazy module that an import statement executes.
    (package / "library.py").write_text("from large.inner import run")
    (package / f"{interrupted}.py").write_text("raise KeyboardInterrupt")
    (tmp_path / "probe.py").write_text(
        "import sys\n"
        "from importlib import import_module\n"
        "from lcm_pipeline.cli.lazy_group import lazy_import\n"
        "main = import_module('lcm_pipeline.cli.main')\n"
        "def app(obj):\n"
        "    obj.name = sys.argv[1]\n"
        f"    lazy_import('large.{interrupted}')\n"
        "    library = lazy_import('large.library')\n"
        "    try:\n"
        "        library.run()\n"
        "    except library.SlowError:\n"
        "        pass\n"
        "main.app = app\n"
        "main.main()\n"
    )
    _assert_interrupted(tmp_path)


@pytest.mark.parametrize(
    ("sent", "handler"),
    [
        ("SIGINT", "default_int_handler"),
        ("SIGTERM", "default_int_handler"),
        # As in a background job of a shell.
        ("SIGTERM", "SIG_IGN"),
    ],
)
def test_an_interrupt_that_a_library_clears_ends_the_command(
    tmp_path: Path, sent: str, handler: str
) -> None:
    (tmp_path / "library.py").write_text(
        "import os, signal\n"
        "try:\n"
        f"    os.kill(os.getpid(), signal.{sent})\n"
        "except BaseException:\n"
        "    pass\n"
    )
    (tmp_path / "probe.py").write_text(
        "import signal, sys\n"
        f"signal.signal(signal.SIGINT, signal.{handler})\n"
        "from importlib import import_module\n"
        "from lcm_pipeline.cli.lazy_group import large_imports\n"
        "main = import_module('lcm_pipeline.cli.main')\n"
        "def app(obj):\n"
        "    obj.name = sys.argv[1]\n"
        "    try:\n"
        "        with large_imports():\n"
        "            import library\n"
        "    except KeyboardInterrupt:\n"
        "        raise SystemExit(130)\n"
        "main.app = app\n"
        "main.main()\n"
    )
    _assert_interrupted(tmp_path)


@pytest.mark.parametrize(
    ("sent", "handler"),
    [
        ("SIGINT", "default_int_handler"),
        ("SIGTERM", "default_int_handler"),
        # As in a background job of a shell.
        ("SIGTERM", "SIG_IGN"),
    ],
)
def test_an_interrupt_in_a_callback_of_the_collector_ends_the_command(
    tmp_path: Path, sent: str, handler: str
) -> None:
    (tmp_path / "probe.py").write_text(
        "import os, signal, sys, time, weakref\n"
        "class Node:\n"
        "    pass\n"
        f"signal.signal(signal.SIGINT, signal.{handler})\n"
        "from importlib import import_module\n"
        "main = import_module('lcm_pipeline.cli.main')\n"
        "def interrupt(_):\n"
        f"    os.kill(os.getpid(), signal.{sent})\n"
        "def app(obj):\n"
        "    obj.name = sys.argv[1]\n"
        "    node = Node()\n"
        "    held = weakref.ref(node, interrupt)\n"
        "    try:\n"
        "        del node\n"
        "        time.sleep(10)\n"
        "    except KeyboardInterrupt:\n"
        "        raise SystemExit(130)\n"
        "main.app = app\n"
        "main.main()\n"
    )
    _assert_interrupted(tmp_path)


def _assert_interrupted(folder: Path) -> None:
    """Run probe.py in the folder, and check that it ends as interrupted.

    Only a command that keeps what it has done says so.
    """
    for command, text in (
        ("push", " Completed work is kept: run the same command again to continue."),
        ("report", ""),
    ):
        done = subprocess.run(
            [sys.executable, "probe.py", command],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 130, done.stderr
        assert done.stderr == f"lcm: Interrupted.{text}\n"


def test_a_lost_database_ends_with_what_to_do() -> None:
    starting = psycopg.OperationalError("the database system is starting up\nDETAIL:  recovery")
    assert message_of(starting, is_resumable=True) == (
        "the database system is starting up. What was done is kept: run the same command again to"
        " go on"
    )
    idle = psycopg.errors.IdleInTransactionSessionTimeout("the session was idle for too long")
    assert message_of(idle, is_resumable=True).endswith("run the same command again to go on")
    assert message_of(psycopg.errors.DataCorrupted("invalid page")) == "invalid page"
    assert message_of(starting) == (
        "the database system is starting up. Run the same command again"
    )


def test_commands_that_keep_their_work_are_commands() -> None:
    assert HELP_LINES.keys() >= RESUMABLE


@pytest.mark.parametrize(("command", "is_resumable"), [("sync", True), ("report", False)])
def test_a_call_knows_its_command_and_whether_that_is_resumable(
    monkeypatch: pytest.MonkeyPatch, command: str, is_resumable: bool
) -> None:
    call = CommandCall()
    monkeypatch.setattr("sys.argv", ["lcm", command, "--help"])
    with pytest.raises(SystemExit):
        app(obj=call)
    assert (call.name, call.is_resumable) == (command, is_resumable)


def test_a_user_without_a_home_folder_can_use_the_libraries_of_the_report() -> None:
    probe = (
        "import os; from importlib import import_module;"
        "main = import_module('lcm_pipeline.cli.main');"
        "main.app = lambda obj: import_module('altair');"
        "del os.environ['HOME'];"
        "import pathlib, pwd; pwd.getpwuid = lambda uid: {}[uid]; main.main()"
    )
    subprocess.run([sys.executable, "-c", probe], check=True)


def test_a_port_of_the_simulator_that_is_in_use_ends_with_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [LCM, "simulate", "--clients", "1"]
        ended = subprocess.run(
            [*command, "--days", "1", "--port", port],
            cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"lcm: port {port} of 127.0.0.1 cannot be used")


def test_what_lcm_reads_of_its_own_is_utf8_whatever_the_locale() -> None:
    probe = (
        "import locale; assert 'utf' not in locale.getpreferredencoding().lower();"
        "from lcm_pipeline.warehouse.marts.definitions import marts;"
        "assert marts()"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", probe], env=environment, check=True)


def test_a_defect_has_no_exit_code() -> None:
    for defect in (ValueError("x"), KeyError("x"), AssertionError("x"), RuntimeError("x")):
        assert exit_code_of(defect) is None


def test_only_the_base_classes_define_an_exit_code() -> None:
    for module in pkgutil.walk_packages(lcm_pipeline.__path__, "lcm_pipeline."):
        importlib.import_module(module.name)
    kinds = list(_subclasses(UserError))
    assert SettingsError in kinds
    own = {kind for kind in kinds if "exit_code" in vars(kind)}
    assert own == {PartialSuccessError, UsageError}


def test_an_error_is_recognized_without_importing_the_driver() -> None:
    probe = (
        "import sys; from lcm_pipeline.cli.failures import exit_code_of;"
        "from lcm_pipeline.model.errors import UsageError;"
        "print(exit_code_of(UsageError()), exit_code_of(OSError()), exit_code_of(ValueError()),"
        " 'psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "1", "None", "False"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--quirk", "no_such=1"),
        ("--fault", "{}"),
        ("--fault", "no"),
        ("--quirk", "max_length"),
        ("--quirk", "max_length=-1"),
        ("--quirk", "default_length=0"),
        ("--quirk", "latency_ms=-5"),
        ("--quirk", "latency_ms=inf"),
        ("--fault", '{"kind": "reset", "every": 0}'),
        ("--fault", '{"kind": "reset", "probability": -0.5}'),
        ("--fault", '{"kind": "timeout", "seconds": -1}'),
    ],
)
def test_wrong_options_of_the_simulator_end_with_2_and_the_reason(
    tmp_path: Path, option: str, value: str
) -> None:
    ended = subprocess.run(
        [LCM, "simulate", option, value],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "the simulator cannot start with this" in ended.stderr
    assert "Traceback" not in ended.stderr


def _subclasses(kind: type[UserError]) -> set[type[UserError]]:
    found = set()
    for one in kind.__subclasses__():
        found |= {one, *_subclasses(one)}
    return found
