"""A database for an ordinary user, as on a managed Postgres."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from psycopg.sql import SQL, Identifier

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Tenant:
    """An ordinary user and a database; `owner` is a superuser's session in that database."""

    user: str
    database: str
    url: str
    owner: psycopg.Connection

    def run(self, statement: str) -> None:
        """Run a statement as a superuser; {user} and {database} are filled in."""
        names = {"user": Identifier(self.user), "database": Identifier(self.database)}
        self.owner.execute(SQL(statement).format(**names))


@contextmanager
def tenant(postgres: str, *, owns: bool = True) -> Iterator[Tenant]:
    """Create a login and a database, which the login or a superuser owns."""
    name = f"tenant_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(SQL("create role {} login").format(Identifier(name)))
        server.execute(SQL("create database {}").format(Identifier(name)))
        if owns:
            server.execute(SQL("alter database {0} owner to {0}").format(Identifier(name)))
        try:
            with psycopg.connect(address(postgres, database=name), autocommit=True) as owner:
                yield Tenant(name, name, address(postgres, user=name, database=name), owner)
        finally:
            server.execute(SQL("drop database {} with (force)").format(Identifier(name)))
            server.execute(SQL("drop role {}").format(Identifier(name)))


def address(url: str, *, user: str | None = None, database: str | None = None) -> str:
    """Return the address with another user or another database."""
    parts = urlsplit(url)
    if user is not None:
        parts = parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}")
    if database is not None:
        parts = parts._replace(path=f"/{database}")
    return parts.geturl()
