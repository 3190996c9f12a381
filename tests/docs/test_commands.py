"""Every command of the README and of docs/ is run, or a rule below says why not.

A command that no rule covers fails: add it to the rules, with a function that runs it.
"""

import argparse
import importlib.util
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import psycopg
import pytest
import yaml

from lcm_pipeline.cli.commands import HELP_LINES
from lcm_pipeline.cli.lazy_group import load_command
from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from tests.docs.checkout import Checkout, open_checkout
from tests.docs.commands import PAGES, ROOT, Command, commands_of
from tests.ports import free_port, responds
from tests.waiting import PATIENCE

_ALL = [command for page in PAGES for command in commands_of(page)]
_COMMANDS = list({command.text: command for command in reversed(_ALL)}.values())[::-1]
_SYNC = "lcm sync --from 2026-03-01 --to 2026-03-30"
# Placeholders that a reader fills in.
_PLACEHOLDERS = {
    "D1...D2": "2026-03-01...2026-03-03",
    "D1": "2026-03-01",
    "D2": "2026-03-03",
    "DAY": "2026-03-03",
    "--date …": "--date 2026-03-03",
}
_PLACEHOLDER = re.compile("|".join(map(re.escape, _PLACEHOLDERS)))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose programme was synced as the README describes."""
    config = build_config(
        start=date(2026, 3, 1), now=datetime(2026, 3, 31, 12), clients=20, seed=7,
        token=777, operator=5,
    )  # fmt: skip
    with (
        RunningSimulator(config) as programme,
        open_checkout(tmp_path_factory.mktemp("checkout"), programme) as opened,
    ):
        opened.configure()
        synced = opened.run(_SYNC)
        assert synced.returncode == 0, synced.stderr
        clients = [row["Client"] for row in programme.world.profile_rows()]
        rows = "".join(f"{client},Имя\n" for client in clients[:3])
        (opened.folder / "names.csv").write_text(f"client_id,name\n{rows}", encoding="utf-8")
        yield opened


# The ways to check a command. Each takes the command, and raises if it does not work.


def _run(checkout: Checkout, text: str) -> None:
    """Run it to its end, with exit code 0 or 3."""
    done = checkout.run(_PLACEHOLDER.sub(lambda found: _PLACEHOLDERS[found[0]], text))
    assert done.returncode in (0, 3), f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr


def _copy_settings(checkout: Checkout, text: str) -> None:
    """Run it, and fill in the settings again that it replaced."""
    _run(checkout, text)
    checkout.configure()


def _backfill(checkout: Checkout, text: str) -> None:
    """Run it, and check that the run is recorded in LCM_HOME, where `lcm ui` shows it."""
    _run(checkout, text)
    with dagster_instance(load_settings(_env_file=None, home=checkout.home)) as instance:
        jobs = {run.job_name: run.status for run in instance.get_runs()}
        assert jobs.get("__ASSET_JOB") is dg.DagsterRunStatus.SUCCESS, jobs
        assert "2026-03-02" in instance.get_materialized_partitions(dg.AssetKey("operations"))


def _push_number_seven(checkout: Checkout, text: str) -> None:
    """Run it as push 7, which the next lines of the README undo."""
    with psycopg.connect(checkout.warehouse) as session:
        session.execute("alter table outbox.pushes alter push_id restart with 7")
    _run(checkout, text)


def _mail(checkout: Checkout, text: str) -> None:
    """Run it, and check the mail, also after a failed sync."""
    mailed, page = checkout.folder / "mailed", checkout.folder / "report.html"
    _run(checkout, text)
    assert "report.html" in mailed.read_text(encoding="utf-8")
    assert page.stat().st_size > 10_000
    mailed.unlink()
    checkout.run(text, LCM_NO_SUCH="1")
    words = mailed.read_text(encoding="utf-8")
    assert "FAILED" in words
    assert "report.html" not in words
    assert "LCM_NO_SUCH" in (checkout.folder / "log").read_text(encoding="utf-8")


def _serve_simulator(checkout: Checkout, text: str) -> None:
    def is_serving() -> bool:
        return "http://127.0.0.1" in (checkout.folder / "served").read_text(encoding="utf-8")

    text = _PLACEHOLDER.sub(lambda found: _PLACEHOLDERS[found[0]], text)
    assert checkout.serve(f"{text} --port 0", is_serving) in (0, 130)


def _serve_ui(checkout: Checkout, text: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/server_info"
    checkout.serve(f"{text} --port {port}", lambda: responds(url))


def _run_and_roll_back(checkout: Checkout, text: str) -> None:
    """Run SQL and roll it back; a role that it alters is created first."""
    role = re.findall(r"role (\w+)", text)[0]
    with psycopg.connect(checkout.warehouse) as session:
        if text.startswith("alter role"):
            session.execute(f"create role {role}".encode())
        session.execute(text.replace("…", "secret").encode())
        session.rollback()


def _query(checkout: Checkout, text: str) -> None:
    with psycopg.connect(checkout.warehouse) as session:
        session.execute(text.encode())


def _edit_parameters(checkout: Checkout, text: str) -> None:
    """Run SQL and roll it back; the new values are dated."""
    with psycopg.connect(checkout.warehouse) as session:
        session.execute(text.encode())
        counted = session.execute("select count(*) from mart.dated_parameters").fetchone()
        session.rollback()
    assert counted == (2,)


def _override_the_calendar(checkout: Checkout, text: str) -> None:
    """Run SQL, and take it back; the calendar follows."""
    off = "select not is_working_day from mart.dim_calendar where day = '2027-01-11'"
    with psycopg.connect(checkout.warehouse) as session:
        before = session.execute(off).fetchone()
        session.execute(text.encode())
        after = session.execute(off).fetchone()
        session.rollback()
    assert (before, after) == ((False,), (True,))


def _run_grant(checkout: Checkout, text: str) -> None:
    """Run the grant on the checkout's own warehouse, and roll it back."""
    with psycopg.connect(checkout.warehouse) as session:
        session.execute("create role etl")
        own = f'database "{session.info.dbname}"'
        session.execute(text.replace("database loyalty", own).encode())
        session.rollback()


def _create_database(checkout: Checkout, text: str) -> None:
    with psycopg.connect(checkout.warehouse, autocommit=True) as session:
        session.execute("create role etl")
        session.execute(text.replace("loyalty", "loyalty_of_the_docs").encode())
        session.execute("drop database loyalty_of_the_docs")
        session.execute("drop role etl")


def _parse_with_fixed_days(checkout: Checkout, text: str) -> None:
    """Let `lcm` parse the options, with fixed days instead of those that the shell computes."""
    _parse(checkout, re.sub(r"\$(FIRST|LAST)", "2026-03-01", text))


def _run_on_warehouse(checkout: Checkout, text: str) -> None:
    """Run a Postgres program of the server's version on the checkout's warehouse."""
    with psycopg.connect(checkout.warehouse) as session:
        at = session.info
        variables = {"PGHOST": at.host, "PGPORT": str(at.port), "PGUSER": at.user}
        programs = session.execute("select setting from pg_config where name = 'BINDIR'").fetchone()
    assert programs is not None
    done = checkout.run(
        f'PATH="{programs[0]}:$PATH"; {text}', LCM_DATABASE_URL=checkout.warehouse, **variables
    )
    assert done.returncode == 0, done.stderr


def _install(_checkout: Checkout, text: str) -> None:
    """Check that the files that it names exist, and the name and extras of the package."""
    for name in re.findall(r"requirements\S*\.lock", text):
        assert (ROOT / name).is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for name, extras in re.findall(r"(lcm_pipeline)(?:\[([\w,]+)\])?", text):
        assert project["name"].replace("-", "_") == name
        assert set(filter(None, extras.split(","))) <= set(project["optional-dependencies"])


def _docker(checkout: Checkout, text: str) -> None:
    """Check that its files and services exist, and that `lcm` accepts the passed options."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))
    for name in re.findall(r"deploy/[\w./]+", text):
        assert (ROOT / name).is_file() or name == "deploy/.env"
    called = re.search(r" exec (\S+) (lcm .*)| run .*?lcm_pipeline (.*)", text)
    if called:
        assert called[1] is None or called[1] in compose["services"]
        command = called[2] or f"lcm {called[3]}"
        _parse(checkout, _PLACEHOLDER.sub(lambda found: _PLACEHOLDERS[found[0]], command))
    elif shown := re.search(r" logs (\S+)", text):
        assert shown[1] in compose["services"]


def _systemd(_checkout: Checkout, text: str) -> None:
    """Check that the files and units that it names exist."""
    for name in re.findall(r"deploy/[\w./-]+", text):
        assert (ROOT / name).is_file()
    for name in re.findall(r"\blcm-\w+\.(?:service|timer)", text):
        assert (ROOT / "deploy" / "systemd" / name).is_file()


def _elsewhere(_checkout: Checkout, _text: str) -> None:
    """Check nothing: another test runs it, or it belongs to another program."""


def _parse(_checkout: Checkout, text: str) -> None:
    """Let `lcm` parse the options, without running the command."""
    name, *options = text.split()[1:]
    if options:
        load_command(name).make_context(name, options)
    elif not name.startswith("--"):
        assert name in HELP_LINES


def _make(_checkout: Checkout, text: str) -> None:
    """Check that the targets exist, and that the modules they call accept their options."""
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(text)[1:]],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for module, options in re.findall(r"python -m (\S+)(.*)", done.stdout):
        if module not in ("pip", "venv", "pytest"):
            _take_options(module, shlex.split(options))


def _module(_checkout: Checkout, text: str) -> None:
    _, _, module, *options = text.split()
    _take_options(module, options)


class _Parsed(BaseException):
    """Raised after the options were parsed."""


def _take_options(module: str, options: list[str]) -> None:
    """Let the parser of a module parse the options, without running the module."""
    assert importlib.util.find_spec(module), f"there is no module {module}"
    if not options:
        return
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *words: Any, **others: Any) -> Any:
        parse(self, *words, **others)
        raise _Parsed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(_Parsed):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        patch.setattr(sys, "argv", [module, *options])
        patch.delitem(sys.modules, module, raising=False)
        runpy.run_module(module, run_name="__main__")


class Rule(NamedTuple):
    """How to check the commands that fully match the pattern. why: the reason not to run them."""

    pattern: str
    way: Callable[[Checkout, str], None]
    why: str = ""


_RULES = [
    Rule(r"lcm sync --client .*", _parse, "see tests/integration/test_cli_daily.py"),
    Rule(r"cp \.env\.example \.env|printf .* > \.env", _copy_settings),
    Rule(r"mkdir -p north south|printf .* > north/\.env|(FIRST|LAST)=.*", _run),
    Rule(r"lcm (plan|sync) --from \$FIRST .*", _parse_with_fixed_days,
         "days of now; see test_cli_daily.py"),
    Rule(r"(pg_dump|createdb|pg_restore --no-owner) .*", _run_on_warehouse),
    Rule(r"(python3 -m venv|pip install|/opt/lcm/bin/pip|uv tool install|pip|uv) ?.*", _install,
         "installs; see tests/architecture/test_wheel.py"),
    Rule(r"(cp|chmod 600) .*deploy/.*|docker .*", _docker, "no engine here; see tests/deploy"),
    Rule(r"(systemctl|journalctl|useradd|install) ?.*", _systemd,
         "changes the machine; see tests/deploy"),
    Rule(r"tar .*", _elsewhere, "is tar's own"),
    Rule(r"APPRISE_URLS='.*' apprise .*", _elsewhere, "is apprise's own, and sends a mail"),
    Rule(r"create role (etl login createrole|lcm_\w+ nologin|daily_sync).*",
         _elsewhere, "is run in order by test_managed_postgres.py"),
    Rule(r"create database dagster.*", _elsewhere, "is run in order by test_managed_postgres.py"),
    Rule(r"grant (etl|lcm_owner, lcm_loader) to .*",
         _elsewhere, "is run in order by test_managed_postgres.py"),
    Rule(r"lcm --version|lcm marts --all", _run),
    Rule(r"\. \.venv/bin/activate", _run),
    Rule(r"lcm sync --\w+ -q > log 2>&1; case .*", _mail),
    Rule(r"0 6 \* \* \* .*", _elsewhere, "is cron's; the script is run"),
    Rule(r"lcm push --csv names\.csv", _push_number_seven),
    Rule(r"lcm (plan|sync|report|verify|push) --(?!yesterday|missing).*", _run),
    Rule(r"lcm sql --keep", _parse, "serves; see tests/integration/test_cli_sql.py"),
    Rule(r"lcm (status|sql|export|doctor|logs) .*", _run),
    Rule(r"lcm metrics --output .*", _run),
    Rule(r"lcm metrics --port .*", _parse, "serves; see tests/integration/test_cli_doctor.py"),
    Rule(r"lcm sync --(yesterday|missing).*", _parse, "a day of now; see test_cli_daily.py"),
    Rule(r"lcm (init.*|serve( .*)?|adopt)", _parse, "asks or serves; see tests/integration"),
    Rule(r"lcm --install-completion", _parse, "writes to the shell's own files"),
    Rule(r"pg_restore .*", lambda _checkout, _text: None, "is Postgres' own"),
    Rule(r"lcm (status|verify|replay|marts|migrate|docs|bundle|dbt|push|demo)", _run),
    Rule(r"lcm (runs|logs|doctor|metrics|sql)", _run),
    Rule(r"lcm (sync|plan|report|export)", _parse, "names it; its lines with days are run"),
    Rule(r"lcm disclose .*", _parse, "see tests/integration/test_disclosure.py"),
    Rule(r"lcm forget .*", _parse, "see tests/integration/test_forgetting.py"),
    Rule(r"lcm reset .*", _parse, "see tests/integration/test_cli_daily.py"),
    Rule(r"lcm retention --apply", _parse, "see tests/integration/test_retention.py"),
    Rule(r"lcm pseudonymize", _parse, "see tests/integration/test_pseudonyms.py"),
    Rule(r"lcm upgrade-home( --from-bin \S+)?", _parse, "see test_embedded_upgrade.py"),
    Rule(r"lcm (retire|reset|disclose|forget|retention)", lambda _checkout, _text: None,
         "names it"),
    Rule(r"lcm retire .*", _parse, "see tests/integration/test_retired_clients.py"),
    Rule(r"lcm (simulate )?--help", _run),
    Rule(r"lcm ui", _serve_ui),
    Rule(r"lcm worker( --.*)?", _parse, "serves; see tests/pipeline/test_celery.py"),
    Rule(r"pip install .*", lambda _checkout, _text: None, "installs"),
    Rule(r"lcm ui --.*", _parse, "serves; see tests/pipeline/test_ui.py"),
    Rule(r"lcm simulate.*", _serve_simulator),
    Rule(r"lcm dashboards", _parse, "needs Superset, see tests/browser"),
    Rule(r"dagster asset materialize .*", _backfill),
    Rule(r"(create|alter) role .*", _run_and_roll_back),
    Rule(r"select .* from (core|mart)\..*", _query),
    Rule(r"create database .*", _create_database),
    Rule(r"(grant|revoke) .*", _run_grant),
    Rule(r"update mart\.parameters .*", _edit_parameters),
    Rule(r"insert into mart\.calendar_overrides .*", _override_the_calendar),
    Rule(r"make (test|demo|(SUPERSET_PYTHON=.* |demo )?dashboards|screenshots|dbt)", _make,
         "installs an environment; `lcm demo` is run"),
    Rule(r"make (install|reference|docs-site|image-test|superset)", _make,
         "installs an environment; `lcm demo` is run"),
    Rule(r"make (soak|crash|push-crash|faults|readers|verify-million|fuzz|life|points)( .*)?",
         _make, "takes an hour; samples are in tests/crash, paging, verification and fuzz"),
    Rule(r"make bench( .*)?", _make, "takes an hour, and installs others; see tests/bench"),
    Rule(r"python -m tests\.(crash|marts|paging)\.\w+\b.*", _module,
         "takes minutes; samples are in tests/crash and paging"),
    Rule(r"python -m benchmarks\b.*", _module, "takes minutes to an hour; see tests/bench"),
    Rule(r"superset import-dashboards .*", lambda _checkout, _text: None, "is Superset's own"),
]  # fmt: skip


def _is_from_help(command: Command) -> bool:
    """Whether a page of the reference has it, which is generated from the help."""
    return command.page.startswith("docs/reference/") and command.text.startswith("lcm ")


def _rule_of(text: str) -> Rule:
    for rule in _RULES:
        if re.fullmatch(rule.pattern, text, re.DOTALL):
            return rule
    pytest.fail(f"no rule of tests/docs/test_commands.py covers: {text}")


def test_every_command_has_a_rule() -> None:
    for command in _COMMANDS:
        if not _is_from_help(command):
            _rule_of(command.text)


def test_no_command_needs_an_option_of_gnu_date() -> None:
    """The tutorial is for macOS too, whose `date` computes no days with -d."""
    assert [command for command in _ALL if "date -d" in command.text] == []


@pytest.mark.slow
@pytest.mark.parametrize("command", _COMMANDS, ids=str)
def test_a_command_of_the_documentation_works(checkout: Checkout, command: Command) -> None:
    if _is_from_help(command):
        # The examples of the help are run in tests/integration.
        assert command.text.split()[1] in HELP_LINES
        return
    rule = _rule_of(command.text)
    rule.way(checkout, command.text)


def test_a_command_without_a_rule_is_noticed(tmp_path: Path) -> None:
    page = ROOT / "docs" / "proofs.md"
    text = (
        page.read_text(encoding="utf-8") + "\n```\nlcm sync --from 2026-03-01 # x\nlcm fly\n```\n"
    )
    added = tmp_path / "page.md"
    added.write_text(text + "\nand `lcm sync --everything` or `dagster dev`\n", encoding="utf-8")
    found = [command.text for command in commands_of(added, root=tmp_path)]
    assert {"lcm fly", "lcm sync --everything", "dagster dev"} <= set(found)
    with pytest.raises(pytest.fail.Exception):
        _rule_of("lcm fly")


@pytest.mark.slow
def test_dagster_backfills_into_the_given_home(checkout: Checkout, tmp_path: Path) -> None:
    (text,) = (c.text for c in _COMMANDS if c.text.startswith("dagster asset materialize"))
    days = text.replace("D1...D2", "2026-03-04...2026-03-06")
    done = checkout.run(days, DAGSTER_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "RUN_SUCCESS" in done.stderr
