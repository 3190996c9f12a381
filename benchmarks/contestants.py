"""What is measured: the command of each contestant, and how its rows are checked.

All get the same input: the address of the API, an empty database, the days. Each writes tables of a
different shape, so each has its own query for the counts and sums that must equal the expected
ones.
"""

import itertools
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import psycopg

from benchmarks.environments import python_of
from benchmarks.serving import ROOT, ApiServer
from benchmarks.world import Truth
from lcm_pipeline.feeds import FEEDS

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Job:
    """The environment of one run. home: its folder. settings: additional LCM_* variables.

    only_last_day: sync only the last day of the world, after ours has synced the earlier ones.
    """

    server: ApiServer
    database: str
    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    only_last_day: bool = False

    @property
    def flags(self) -> list[str]:
        """The command-line flags of the other contestants' scripts."""
        world = self.server.world
        days = ["--first", str(world.first), "--days", str(world.days)]
        return ["--api", self.server.url, "--database", self.database, *days]


@dataclass(frozen=True)
class Contestant:
    """One way to do the work. found: returns what its warehouse contains."""

    name: str
    title: str
    command: Callable[[Job], list[str]]
    variables: Callable[[Job], dict[str, str]]
    found: Callable[[Job], Truth]


def _lcm_command(job: Job) -> list[str]:
    world = job.server.world
    lcm = Path(sys.executable).parent / "lcm"
    first = world.last if job.only_last_day else world.first
    return [str(lcm), "sync", "--from", str(first), "--to", str(world.last)]


def _lcm_facts_command(job: Job) -> list[str]:
    feeds = itertools.chain.from_iterable(("--feed", feed.name) for feed in FEEDS)
    return [*_lcm_command(job), *feeds]


def lcm_variables(job: Job) -> dict[str, str]:
    """The settings of ours: 64 requests in flight like the floor, otherwise the defaults."""
    return {
        # Use the code of this checkout, whatever the environment was installed from.
        "PYTHONPATH": str(ROOT),
        "LCM_API_URL": job.server.url,
        "LCM_DATABASE_URL": job.database,
        "LCM_HOME": str(job.home / "lcm"),
        "LCM_START_DATE": str(job.server.world.first),
        "LCM_TOKEN": "1",
        "LCM_CONCURRENCY": "64",
        **job.settings,
    }


def _floor_command(job: Job) -> list[str]:
    return [sys.executable, "-m", "benchmarks.floor", *job.flags]


def _dlt_command(job: Job) -> list[str]:
    script = str(_HERE / "dlt_pipeline.py")
    return [python_of("dlt"), script, *job.flags, "--home", str(job.home / "dlt")]


def _airbyte_command(job: Job) -> list[str]:
    script = str(_HERE / "airbyte_source.py")
    source = f"'{python_of('airbyte')}' '{script}' {_quoted(job.flags)}"
    return ["bash", "-c", f"{source} > '{job.home}/records.jsonl'"]


def _quoted(arguments: list[str]) -> str:
    return " ".join(map(shlex.quote, arguments))


def _singer_command(job: Job) -> list[str]:
    python, script = python_of("singer"), str(_HERE / "singer_tap.py")
    target = str(Path(python).parent / "target-postgres")
    (job.home / "target.json").write_text(
        json.dumps({"sqlalchemy_url": job.database, "default_target_schema": "bench"})
    )
    tap = f"'{python}' '{script}' {_quoted(job.flags)}"
    return ["bash", "-o", "pipefail", "-c", f"{tap} | '{target}' --config '{job.home}/target.json'"]


def _counted(query: str) -> Callable[[Job], Truth]:
    def count(job: Job) -> Truth:
        with psycopg.connect(job.database) as session:
            row = session.execute(query.encode()).fetchone()
        return Truth(*(int(value) for value in row or ()))

    return count


def _counted_in_tables(**names: str) -> Callable[[Job], Truth]:
    """Count with the given names of tables and of the columns of operations."""
    return _counted(
        f"select (select count(*) from {names['registrations']}), count(*), sum({names['id']}),"
        f" round(sum({names['amount']})::numeric * 100), (select count(*) from {names['leads']}),"
        f" (select count(*) from {names['offers']}), (select count(*) from {names['goods']})"
        f" from {names['operations']}"
    )


def _counted_in_file(job: Job) -> Truth:
    """Count the records that the Airbyte source wrote to a file: it has no destination."""
    rows = {"registrations": 0, "operations": 0, "leads": 0, "favourites": 0}
    ids = cents = offers = goods = 0
    with (job.home / "records.jsonl").open() as lines:
        for line in lines:
            message = json.loads(line)
            if message.get("type") != "RECORD":
                continue
            name, row = message["record"]["stream"], message["record"]["data"]
            rows[name] += 1
            if name == "operations":
                ids, cents = ids + row["Id"], cents + round(row["Amount"] * 100)
            elif name == "favourites":
                offers += len(row["ClientFavorites"])
                goods += len(row["ListFavorites"])
    return Truth(
        rows["registrations"], rows["operations"], ids, cents, rows["leads"], offers, goods
    )


def _no_variables(job: Job) -> dict[str, str]:
    return {}


OURS = Contestant(
    "ours",
    "lcm sync, through Dagster",
    _lcm_command,
    lcm_variables,
    _counted_in_tables(
        registrations="core.registrations",
        operations="core.operations",
        id="operation_id",
        amount="amount",
        leads="core.leads",
        offers="core.favourite_offers",
        goods="core.favourite_goods",
    ),
)
# The same work as the others': they load tables, and compute no marts.
FACTS = replace(OURS, name="facts", title="lcm sync, without the marts", command=_lcm_facts_command)
FLOOR = Contestant(
    "floor",
    "floor, written by hand",
    _floor_command,
    _no_variables,
    _counted_in_tables(
        registrations="registrations",
        operations="operations",
        id="operation_id",
        amount="amount",
        leads="leads",
        offers="offers",
        goods="goods",
    ),
)
DLT = Contestant(
    "dlt",
    "dlt 1.31, rest_api, tuned",
    _dlt_command,
    _no_variables,
    _counted_in_tables(
        registrations="bench.registrations",
        operations="bench.operations",
        id="id",
        amount="amount",
        leads="bench.leads",
        offers="bench.favourites__client_favorites",
        goods="bench.favourites__list_favorites",
    ),
)
AIRBYTE = Contestant(
    "airbyte",
    "Airbyte CDK 7.39, 20 workers, no destination",
    _airbyte_command,
    _no_variables,
    _counted_in_file,
)
SINGER = Contestant(
    "singer",
    "Singer SDK 0.54, target-postgres",
    _singer_command,
    _no_variables,
    _counted(
        'select (select count(*) from bench.registrations), count(*), sum("Id"),'
        ' round(sum("Amount")::numeric * 100), (select count(*) from bench.leads),'
        ' (select sum(cardinality("ClientFavorites")) from bench.favourites),'
        ' (select sum(cardinality("ListFavorites")) from bench.favourites)'
        " from bench.operations"
    ),
)
OTHERS = {other.name: other for other in (DLT, AIRBYTE, SINGER)}


def differences(found: Truth, truth: Truth) -> list[str]:
    """Describe the counts and sums that are not equal; empty if all are."""
    names = Truth.__dataclass_fields__
    pairs = zip(names, astuple(found), astuple(truth), strict=True)
    return [
        f"{name}: {actual} instead of {expected}"
        for name, actual, expected in pairs
        if actual != expected
    ]


__all__ = ["FACTS", "FLOOR", "OTHERS", "OURS", "ROOT", "Contestant", "Job", "differences"]
