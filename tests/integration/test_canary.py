"""Secrets and persons planted everywhere, faults on: none of it is seen but where it belongs.

The service puts them into its messages, its pages of errors, rows that do not fit, and fields that
nobody knows. Then everything that people or other programs may read is searched for them.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lcm_pipeline.simulator import faults
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.replies import HTML_TYPE, Reply
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import LCM, environment
from tests.conftest import Programme
from tests.outbox import ask_for
from tests.syncing import MARCH_OPTIONS

SECRETS = {
    "token": "7315904628",
    "password": "p4ssw0rd-Glafira",
    "site code": "s1te-c0de-5512",
    "password of the database": "db-p4ss-77120",
    "pseudonym key": "k3y-of-pseudonyms-90817263",
}
PERSON = {
    "name": "Глафира",
    "patronymic": "Пантелеймоновна",
    "surname": "Канарейкина",
    "Latin name": "Kanareikina",
    "e-mail": "glafira@canary.example",
    "phone": "9165551234",
    "phone as people write it": "916 555-12-34",
    "card": "2200701234567890",
}
LEAK = (
    "Клиент Канарейкина Глафира Пантелеймоновна (customer Glafira Kanareikina,"
    " glafira@canary.example), телефон +7 916 555-12-34, карта 2200701234567890:"
    " Token={token}, пароль {password}"
).format(**SECRETS)
# What people and other programs read of the warehouse, without the rows themselves.
LEDGERS = (
    "select runs::text from sync.runs",
    "select fetches::text from sync.fetches",
    "select state::text from sync.client_state as state",
    "select days::text from sync.registration_days as days",
    "select retired::text from sync.retired_clients as retired",
    "select commands::text from sync.commands",
    "select source::text from sync.source",
    "select keys::text from sync.pseudonym_keys as keys",
    "select fields::text from sync.unknown_fields as fields",
    "select reason || context || table_name from sync.quarantine",
    "select attempts::text from outbox.attempts",
    "select pushes::text from outbox.pushes",
    "select coalesce(last_error, '') from outbox.profile_updates",
)


@pytest.fixture
def source(programme: Programme, monkeypatch: pytest.MonkeyPatch) -> RunningSimulator:
    """A service whose errors repeat the secrets it has received."""
    page = f"<html><body><h1>{LEAK}</h1></body></html>".encode()
    monkeypatch.setattr(faults, "_OTHER", LEAK)
    monkeypatch.setattr(faults, "_PARTLY", LEAK)
    monkeypatch.setattr(faults, "_DEADLOCK", LEAK)
    monkeypatch.setattr(faults, "_PAGE", page.decode() + "{0}")
    error = Reply(500, msgspec.json.encode({"Message": LEAK, "StackTrace": LEAK}))
    monkeypatch.setattr(faults, "AN_ERROR", error)
    monkeypatch.setattr(faults, "DENIED", Reply(401, page, HTML_TYPE))
    source = programme(
        clients=8,
        token=int(SECRETS["token"]),
        operator=5,
        username="lcm",
        password=SECRETS["password"],
        habits=("bad_rows=0.1", "leads_daily=0.3"),
    )
    with source.world.lock:
        for customer in source.world.programme.customers.values():
            customer.profile.Phone = int(PERSON["phone"])
            for shelf in customer.shelves.values():
                for entry in shelf.newest_first()[:2]:
                    entry.row.update({"Comment": LEAK, "Смартфон": PERSON["phone"]})
                    if "Amount" in entry.row:
                        entry.row["Amount"] = LEAK
                    if "Subject" in entry.row:
                        entry.row["Subject"] = LEAK
    clients = sorted(source.world.programme.customers)
    source.service.faults.set(
        [
            FaultRule(kind="sql_other", client=clients[0]),
            FaultRule(kind="html_with_200", client=clients[1], endpoint="LeadsPagingInfo"),
            FaultRule(kind="message_half_rows", client=clients[2], times=2),
            FaultRule(kind="server_error", nth=9),
            FaultRule(kind="sql_deadlock", nth=11),
            FaultRule(kind="unavailable_html", nth=13),
            FaultRule(kind="truncated_json", nth=17),
            FaultRule(kind="unauthorized", nth=23),
        ]
    )
    return source


class Witness:
    """Runs `lcm`, and remembers all that it printed and what the list of processes showed."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.seen: dict[str, str] = {}
        self._folder, self._variables = folder, variables

    def run(self, *words: str, **variables: str) -> int:
        out, err = self._folder / "stdout", self._folder / "stderr"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [LCM, *words],
                env=environment(self._folder, **{**self._variables, **variables}),
                cwd=self._folder,
                stdout=stdout,
                stderr=stderr,
            )
            listed = set()
            while process.poll() is None:
                listed |= set(_process_list())
                time.sleep(0.2)
        name = f"lcm {' '.join(words)} ({len(self.seen)})"
        self.seen[name] = out.read_text(errors="replace") + err.read_text(errors="replace")
        self.seen[f"processes of {name}"] = "\n".join(listed)
        return process.returncode


def _process_list() -> Iterator[str]:
    """What `ps` shows anybody: the command lines of all processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def _files(folder: Path) -> dict[str, str]:
    """Every file that the commands left: Dagster's storage with its run tags, logs, the rest."""
    return {
        str(path.relative_to(folder)): path.read_bytes().decode(errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def _hits(needles: dict[str, str], texts: dict[str, str]) -> list[tuple[str, str]]:
    """What was found where, also as JSON writes it."""
    return [
        (what, where)
        for where, text in texts.items()
        for what, needle in needles.items()
        if needle in text or json.dumps(needle)[1:-1] in text
    ]


@pytest.mark.slow
def test_no_secret_and_no_person_is_seen_where_it_does_not_belong(
    tmp_path: Path, source: RunningSimulator, warehouse: Warehouse
) -> None:
    url = warehouse.url.replace("lcm@", f"lcm:{SECRETS['password of the database']}@")
    assert url != warehouse.url
    clients = sorted(source.world.programme.customers)
    numbers = {
        f"card of {client}": str(card)
        for client, customer in source.world.programme.customers.items()
        for card in customer.cards
    }
    witness = Witness(
        tmp_path,
        {
            "LCM_API_URL": source.url,
            "LCM_DATABASE_URL": url,
            "LCM_OPERATOR": "5",
            "LCM_TOKEN": SECRETS["token"],
            "LCM_USERNAME": "lcm",
            "LCM_PASSWORD": SECRETS["password"],
            "LCM_SITE_CODE": SECRETS["site code"],
            "LCM_PSEUDONYM_KEY": SECRETS["pseudonym key"],
        },
    )
    # A row that the database refuses, and an address that is none: both end in an error.
    with warehouse.connect() as session:
        session.execute("alter table core.clients add constraint none check (phone is null)")
    assert witness.run("sync", "-v", *MARCH_OPTIONS) == 1
    with warehouse.connect() as session:
        session.execute("alter table core.clients drop constraint none")
    nowhere = f"postgresql://lcm:{SECRETS['password of the database']}@127.0.0.1:1/db"
    assert witness.run("sync", "-v", *MARCH_OPTIONS, LCM_DATABASE_URL=nowhere) != 0
    assert witness.run("sync", "-v", *MARCH_OPTIONS, "--log-format", "json") in (0, 3)
    source.service.faults.set(
        [FaultRule(kind="sql_other", endpoint="ClientUpdate", client=clients[3])]
    )
    wanted = {
        "name": PERSON["name"],
        "surname": PERSON["surname"],
        "email": PERSON["e-mail"],
        "phone": int(PERSON["phone"]),
    }
    ask_for(warehouse, [(client, wanted) for client in clients[3:6]])
    assert witness.run("push", "--dry-run") in (0, 3)
    assert witness.run("push") in (0, 3)
    for words in (
        ("status", "--pending"),
        ("status", "--quarantine"),
        ("status", "--json"),
        ("logs",),
        ("doctor",),
        ("report", "--output", "report.html"),
    ):
        assert witness.run(*words) in (0, 1, 3), words

    with warehouse.connect() as session:
        ledgers = {
            statement: str(session.execute(statement.encode()).fetchall()) for statement in LEDGERS
        }
    needles = {**SECRETS, **PERSON, **numbers}
    assert _hits(needles, witness.seen) == []
    assert _hits(needles, _files(tmp_path)) == []
    assert _hits(needles, ledgers) == []
    # That the search would find them: the outbox, alone, holds what it has to send.
    with warehouse.connect() as session:
        rows = session.execute("select u::text from outbox.profile_updates as u").fetchall()
    assert {what for what, _ in _hits(PERSON, {"outbox": str(rows)})} >= {"name", "e-mail", "phone"}
    struck = source.service.faults.struck
    assert struck["sql_other"]
