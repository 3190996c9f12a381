"""`lcm push` as a user runs it: its output, what it never prints, and its exit code."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.simulator import profiles
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import LCM, environment, run, run_on_terminal
from tests.outbox import ask_for, outbox, profile, statuses
from tests.waiting import PATIENCE, wait_for

NAME, EMAIL, PHONE = "Евлампия", "evl@example.org", 9031112233


@pytest.fixture
def lcm(tmp_path: Path, source: RunningSimulator, warehouse: Warehouse) -> Any:
    """Run `lcm push` against the source and the warehouse."""
    variables = {"LCM_API_URL": source.url, "LCM_DATABASE_URL": warehouse.url}

    def push(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return run(tmp_path, "push", *words, **{**variables, **more})

    return push


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "profiles.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_is_previewed_then_sent_then_undone(
    tmp_path: Path, lcm: Any, clients: list[int], warehouse: Warehouse, source: RunningSimulator
) -> None:
    first = write(tmp_path, f"client_id;name;email\n{clients[0]};{NAME};\n{clients[1]};;{EMAIL}\n")
    preview = lcm("--csv", first, "--dry-run")
    assert (preview.returncode, preview.stderr) == (0, "")
    assert "2 would be sent" in preview.stdout
    assert f"line 2, client {clients[0]}: would be sent: name" in preview.stdout
    assert "nothing was sent and nothing stored" in preview.stdout
    assert outbox(warehouse) == []
    assert lcm("--csv", first).returncode == 0
    assert profile(source, clients[0])["Name"] == NAME
    second = write(tmp_path, f"client_id,name\n{clients[0]},Ольга\n")
    assert lcm("--csv", second).returncode == 0
    undone = lcm("--undo", "2", "--dry-run")
    assert (undone.returncode, "fields to put back: 1" in undone.stdout) == (0, True)
    assert lcm("--undo", "2").returncode == 0
    assert profile(source, clients[0])["Name"] == NAME
    again = lcm("--undo", "2")
    assert again.returncode == 3
    assert f"client {clients[0]}, name: update 4 has changed it since" in again.stdout


def test_rejected_and_partial_updates_exit_with_3_without_personal_data(
    tmp_path: Path,
    lcm: Any,
    clients: list[int],
    warehouse: Warehouse,
    source: RunningSimulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiles, "EMAIL_TAKEN", f"{EMAIL} {NAME} {PHONE} принадлежит другому")
    source.world.programme.by_email[EMAIL] = source.world.programme.customers[clients[9]]
    file = write(
        tmp_path,
        f"client_id,name,email,phone\n{clients[0]},{NAME},{EMAIL},{PHONE}\n"
        f"{clients[1]},{NAME * 4},{EMAIL}@,8{PHONE}\n77,{NAME},,\n",
    )
    preview = lcm("--csv", file, "--dry-run")
    assert preview.returncode == 3
    assert "2 would be rejected" in preview.stdout
    # Each reason once, with its lines.
    assert re.search(r"^1 x name: longer .* \(line 3\)$", preview.stdout, re.M), preview.stdout
    assert preview.stdout.count("name: longer") == 1
    pushed = lcm("--csv", file)
    assert pushed.returncode == 3, pushed.stderr
    assert statuses(warehouse) == ["partial", "rejected", "rejected"]
    assert "1 x rejected: the warehouse does not know the client (update 3 is" in pushed.stdout
    output = preview.stdout + preview.stderr + pushed.stdout + pushed.stderr
    assert not [planted for planted in (NAME, EMAIL, str(PHONE)) if planted in output]


def test_a_stopped_push_prints_its_counts_and_exits_with_1(
    lcm: Any, clients: list[int], warehouse: Warehouse, source: RunningSimulator
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    source.service.faults.set((FaultRule(kind="message_half_rows", endpoint="ClientUpdate"),))
    ended = lcm(LCM_PUSH_CANARY="3")
    assert ended.returncode == 1
    assert "3 of the first 3 updates failed" in ended.stderr
    assert "lcm push --undo 1" in ended.stderr
    assert "partial" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_one_update_refused_by_the_service_exits_with_3(
    lcm: Any, clients: list[int], warehouse: Warehouse, source: RunningSimulator
) -> None:
    ask_for(warehouse, [(client, {"name": NAME}) for client in clients])
    source.service.faults.set(
        (FaultRule(kind="forbidden", endpoint="ClientUpdate", client=clients[0]),)
    )
    ended = lcm(LCM_CONCURRENCY="1")
    assert ended.returncode == 3, ended.stderr
    assert statuses(warehouse) == ["failed"] + ["sent"] * (len(clients) - 1)
    assert "1 x failed: HTTP 403" in ended.stdout
    assert NAME not in ended.stdout + ended.stderr


def test_a_limited_push_succeeds_when_its_number_is_sent(
    lcm: Any, clients: list[int], warehouse: Warehouse
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    assert lcm("--max", "5").returncode == 0
    assert statuses(warehouse).count("sent") == 5


@pytest.mark.slow
def test_an_unreachable_service_exits_with_1_and_leaves_all_pending(
    tmp_path: Path, warehouse: Warehouse, source: RunningSimulator, clients: list[int]
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    source.stop()
    ended = run(
        tmp_path, "push", LCM_API_URL=source.url, LCM_DATABASE_URL=warehouse.url, LCM_TIMEOUT="2"
    )
    assert ended.returncode == 1
    assert "no connection" in ended.stderr
    assert statuses(warehouse) == ["pending"]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        (("--csv", "FILE"), "client_id,nom\n7,Евлампия\n", "unknown columns: 'nom'"),
        (("--csv", "FILE"), "client_id,email,name\n7,,Евлампия\n8,,\n9,Ев", "line 4:"),
        (("--csv", "FILE", "--dry-run"), "client_id,name\n7,Евлампия,\n8\n", "line 3:"),
        (("--csv", "FILE"), 'client_id,name\n7,"Евлампия\n8,"Оля"\n', "line 2: a quotation mark"),
        (("--csv", "FILE", "--show-values"), "client_id,name\n7,Евлампия\n", "with --dry-run"),
        (("--csv", "FILE", "--dry-run", "--show-values"), "client_id,name\n7,Евлампия\n",
         "works only on a terminal"),
        (("--csv", "missing.csv"), "", "'missing.csv' cannot be read: No such file"),
        (("--csv", "."), "", "cannot be read"),
        (("--csv", "FILE", "--undo", "1"), "", "either --csv or --undo"),
        (("--undo", "17"), "", "lcm sql --as-owner -c 'table outbox.pushes'"),
        (("--undo", "17", "--dry-run"), "", "no push 17"),
        (("--max", "0"), "", "--max"),
    ],
)  # fmt: skip
def test_invalid_usage_or_an_invalid_file_exits_with_2_and_stores_nothing(
    tmp_path: Path, lcm: Any, warehouse: Warehouse, words: tuple[str, ...], text: str, expected: str
) -> None:
    file = write(tmp_path, text)
    ended = lcm(*(file if word == "FILE" else word for word in words))
    assert ended.returncode == 2, ended.stderr
    assert expected in " ".join(ended.stderr.replace("│", " ").split())
    assert "Traceback" not in ended.stderr
    assert NAME not in ended.stderr + ended.stdout
    assert outbox(warehouse) == []


@pytest.mark.slow
def test_an_unreadable_row_is_rejected_and_the_others_are_sent(
    tmp_path: Path, lcm: Any, clients: list[int], warehouse: Warehouse, source: RunningSimulator
) -> None:
    file = write(
        tmp_path,
        "sep=;\r\n\r\nClient_ID ;Name;Phone;Gender;Birthdate;Allow_SMS;requested_by;;\r\n"
        f"{clients[0]}.0;\u00a0{NAME} ;+7 (903) 111-22-33;Ж;31.05.1990 0:00;да;crm;;\r\n"
        f"{clients[1]};{NAME};9.03E+09;;;;crm;;\r\n"
        f"{clients[2]};#Н/Д;;;;;crm;;\r\n"
        f"{clients[3]};{NAME};9.03E+09;;;может;;;\r\n"
        f";;;;;;;;\r\nИтого;{NAME};;;;;;;\r\n"
        f'{clients[4]};"  {NAME}";="89031112244";0;;FALSE;crm;;\r\n',
    )
    preview = lcm("--csv", file, "--dry-run")
    assert preview.returncode == 3, preview.stderr
    assert "2 would be sent" in preview.stdout
    assert "4 would be rejected" in preview.stdout
    assert "2 x phone: a number with an exponent: its digits are gone" in preview.stdout
    for expected in ("(lines 5, 7)", "1 x allow_sms: expected", "(line 7)", "(line 6)", "(line 9)"):
        assert expected in preview.stdout
    assert outbox(warehouse) == []
    pushed = lcm("--csv", file)
    assert pushed.returncode == 3, pushed.stderr
    assert statuses(warehouse) == ["sent", "rejected", "rejected", "rejected", "sent"]
    assert "2 x rejected: phone: a number with an exponent" in pushed.stdout
    assert "1 x not stored, as the client cannot be read: client_id: expected" in pushed.stdout
    held = profile(source, clients[0])
    assert (held["Name"], held["Phone"], held["Gender"], held["Birthdate"], held["AllowSms"]) == (
        NAME, PHONE, -1, "1990-05-31", True,
    )  # fmt: skip
    held = profile(source, clients[4])
    assert (held["Name"], held["Phone"], held["AllowSms"]) == (NAME, 9031112244, False)
    rows = outbox(warehouse)
    assert "phone: a number with an exponent" in rows[3]["last_error"]
    assert "allow_sms: expected true or false" in rows[3]["last_error"]
    assert "requested_by: expected who requests" in rows[3]["last_error"]
    assert {row["push_id"] for row in rows} == {1}
    assert outbox(warehouse, "pushes")[0]["rejected_count"] == 3
    output = (
        preview.stdout
        + preview.stderr
        + pushed.stdout
        + pushed.stderr
        + str([row["last_error"] for row in rows])
    )
    assert not [
        planted for planted in (NAME, "Итого", "9.03E", "может", "9031112") if planted in output
    ]


@pytest.mark.slow
def test_a_file_with_only_rejected_rows_exits_with_3_and_sends_nothing(
    tmp_path: Path, lcm: Any, clients: list[int], warehouse: Warehouse, source: RunningSimulator
) -> None:
    file = write(tmp_path, f"client_id,phone\n{clients[0]},{NAME}\n{NAME},{PHONE}\n")
    pushed = lcm("--csv", file)
    assert pushed.returncode == 3, pushed.stderr
    assert statuses(warehouse) == ["rejected"]
    assert lcm().returncode == 0
    assert source.world.profiles.updates == []


def test_every_line_that_would_be_rejected_is_listed(
    tmp_path: Path, lcm: Any, clients: list[int]
) -> None:
    numbers = [n for n in range(2, 4000) if n % 3 == 0]
    lines = "".join(
        f"{clients[0]},{'maybe' if n in set(numbers) else 'да'}\n" for n in range(2, 4000)
    )
    preview = lcm("--csv", write(tmp_path, f"client_id,allow_sms\n{lines}"), "--dry-run")
    (counted,) = [line for line in preview.stdout.splitlines() if "x allow_sms: expected" in line]
    listed = counted[counted.index("(lines ") + len("(lines ") : -1]
    assert listed.split(", ") == [str(n) for n in numbers]


@pytest.mark.slow
def test_a_dry_run_shows_values_only_on_a_terminal(
    tmp_path: Path,
    lcm: Any,
    clients: list[int],
    warehouse: Warehouse,
    source: RunningSimulator,
) -> None:
    text = f"client_id,name,phone,email\n{clients[0]},{EMAIL},{PHONE},{EMAIL}\n"
    text += f"{clients[1]},[bold]{NAME},,\n{clients[2]},#N/A,,\n"
    file = write(tmp_path, text)
    shown = on_terminal(tmp_path, warehouse, "--csv", file, "--dry-run", "--show-values")
    assert shown.returncode == 3
    for one in (EMAIL, str(PHONE), f"[bold]{NAME}", "line 2", "nothing was sent"):
        assert one in shown.stdout
    hidden = on_terminal(tmp_path, warehouse, "--csv", file, "--dry-run")
    forced = lcm("--csv", file, "--dry-run", "--show-values", FORCE_COLOR="1", TTY_COMPATIBLE="1")
    assert (hidden.returncode, forced.returncode) == (3, 2)
    for output in (hidden.stdout, forced.stdout, forced.stderr):
        assert not [one for one in (EMAIL, str(PHONE), NAME) if one in output]
    assert (outbox(warehouse), source.world.profiles.updates) == ([], [])


@pytest.mark.slow
def test_a_dry_run_of_an_undo_shows_what_it_would_restore(
    tmp_path: Path, lcm: Any, clients: list[int], warehouse: Warehouse
) -> None:
    for name in (NAME, "Ольга"):
        ask_for(warehouse, [(clients[0], {"name": name})])
        assert lcm().returncode == 0
    shown = on_terminal(tmp_path, warehouse, "--undo", "2", "--dry-run", "--show-values")
    assert (shown.returncode, NAME in shown.stdout) == (0, True)


def test_without_a_terminal_a_push_logs_lines_with_times(
    lcm: Any, clients: list[int], warehouse: Warehouse
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    for count in (len(clients), 0):
        pushed = lcm()
        assert pushed.returncode == 0, pushed.stderr
        stamped = rf"[\d-]{{10}} [\d:]{{8}}[+-]\d{{4}} INFO    profile updates: {count} done\n"
        assert re.fullmatch(stamped, pushed.stderr), pushed.stderr


def test_a_push_shows_a_bar_on_a_terminal_unless_there_is_nothing_to_send(
    tmp_path: Path, clients: list[int], warehouse: Warehouse, source: RunningSimulator
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    variables = {"LCM_API_URL": source.url, "TERM": "xterm"}
    sent = on_terminal(tmp_path, warehouse, stream="stderr", **variables)
    assert f"{len(clients)}/{len(clients)}" in sent.stderr
    assert "nothing" in sent.stdout
    nothing = on_terminal(tmp_path, warehouse, stream="stderr", **variables)
    assert "0/0" not in nothing.stderr
    assert "nothing" in nothing.stdout


def on_terminal(
    tmp_path: Path, warehouse: Warehouse, *words: str, stream: str = "stdout", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `lcm push` with a terminal as its standard output, or error."""
    variables = {"LCM_DATABASE_URL": warehouse.url, **variables}
    return run_on_terminal(tmp_path, "push", *words, stream=stream, **variables)


def test_a_dry_run_needs_no_service(
    tmp_path: Path, warehouse: Warehouse, clients: list[int]
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    ended = run(tmp_path, "push", "--dry-run", LCM_DATABASE_URL=warehouse.url)
    assert (ended.returncode, "1 would be sent" in ended.stdout) == (0, True)
    refused = run(tmp_path, "push", LCM_DATABASE_URL=warehouse.url)
    assert refused.returncode == 2
    assert "LCM_API_URL is not set" in refused.stderr


def test_a_terminal_that_is_lost_interrupts_the_push(
    tmp_path: Path, clients: list[int], warehouse: Warehouse, source: RunningSimulator
) -> None:
    ask_for(warehouse, [(client, {"name": f"А{n}"}) for n in range(8) for client in clients])
    # The updates of a client are sent one after the other: after the first ones, 7 are left.
    source.service.desk.quirks = type(source.service.desk.quirks)(latency_ms=1000)
    terminal, process_side = pty.openpty()

    def use_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # Below nohup it is ignored.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    pushing = subprocess.Popen(
        [LCM, "push"],
        env=environment(tmp_path, LCM_API_URL=source.url, LCM_DATABASE_URL=warehouse.url),
        cwd=tmp_path,
        stdin=process_side,
        stdout=process_side,
        stderr=process_side,
        preexec_fn=use_terminal,
    )
    os.close(process_side)
    wait_for(lambda: source.world.profiles.updates)
    # As when ssh is cut off: SIGHUP comes, and nothing can be written any more.
    os.close(terminal)
    pushing.wait(timeout=PATIENCE)
    assert outbox(warehouse, "pushes")[0]["status"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "on_ctrl_c"),
    # A shell's background job ignores Ctrl-C.
    [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_IGN)],
    ids=["ctrl_c", "sigterm"],
)
def test_an_interrupt_keeps_what_was_sent_and_the_next_push_continues(
    tmp_path: Path,
    lcm: Any,
    clients: list[int],
    warehouse: Warehouse,
    source: RunningSimulator,
    sent: signal.Signals,
    on_ctrl_c: Any,
) -> None:
    ask_for(warehouse, [(client, {"name": f"А{n}"}) for n in range(8) for client in clients])
    source.service.desk.quirks = type(source.service.desk.quirks)(latency_ms=1000)
    stopped = subprocess.Popen(
        [LCM, "push"],
        env=environment(tmp_path, LCM_API_URL=source.url, LCM_DATABASE_URL=warehouse.url),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, on_ctrl_c),
    )
    wait_for(lambda: source.world.profiles.updates)
    os.kill(stopped.pid, sent)
    _, stderr = stopped.communicate(timeout=PATIENCE)
    assert stopped.returncode == 130, stderr
    assert "run the same command again" in stderr
    assert outbox(warehouse, "pushes")[0]["status"] == "interrupted"
    source.service.desk.quirks = type(source.service.desk.quirks)()
    assert lcm().returncode == 0
    assert {profile(source, client)["Name"] for client in clients} == {"А7"}
