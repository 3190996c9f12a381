"""Sessions and an API client that report each moment of a sync to a listener.

They go in through the engine's own seams: its Warehouse and its `open_api`. A listener hears of a
moment before and after; what it raises then strikes where the real thing would.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse
from tests.crash.commit_points import (
    PAGE_ASKED,
    PAGE_FETCHED,
    point_of_commit,
    point_of_statement,
)

# Failures pass at once here: the pauses of a real service would only cost time.
HASTY = RetryPolicy(first_wait=0.001, longest_wait=0.002, longest_retry_after=0.002)


class Listener(Protocol):
    """Hears every moment. A statement's text, or `commit`; the session is None for the API."""

    def before(self, text: str, session: psycopg.Connection[Any]) -> None:
        """A statement or a commit is about to be sent."""

    def after(self, text: str, session: psycopg.Connection[Any]) -> None:
        """It was answered."""

    def reached(self, point: str, session: psycopg.Connection[Any] | None) -> None:
        """A commit point was reached."""


class TappedCursor(psycopg.Cursor[TupleRow]):
    """A cursor that tells of each statement."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> "TappedCursor":
        with _told(self, query):
            return super().execute(query, *arguments, **options)

    def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
        with _told(self, query):
            super().executemany(query, *arguments, **options)

    @contextmanager
    def copy(self, statement: Any, *arguments: Any, **options: Any) -> Iterator[psycopg.Copy]:
        with _told(self, statement), super().copy(statement, *arguments, **options) as copy:
            yield copy


class TappedSession(psycopg.Connection[TupleRow]):
    """A session that tells of its statements and commits."""

    listener: Listener
    statements: list[str]

    @contextmanager
    def transaction(self, *arguments: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        self.statements = []
        with super().transaction(*arguments, **options) as transaction:
            yield transaction
            told, self.statements = self.statements, []
            self.listener.before("commit", self)
        self.listener.after("commit", self)
        if point := point_of_commit(told):
            self.listener.reached(point, self)


@contextmanager
def _told(cursor: TappedCursor, query: Any) -> Iterator[None]:
    session = cursor.connection
    assert isinstance(session, TappedSession)
    text = query if isinstance(query, str) else _text_of(query, session)
    session.listener.before(text, session)
    yield
    session.listener.after(text, session)
    point = point_of_statement(text, session.statements)
    session.statements.append(text)
    if point:
        session.listener.reached(point, session)


def _text_of(query: Any, session: psycopg.Connection[Any]) -> str:
    return query.decode() if isinstance(query, bytes) else str(query.as_string(session))


@dataclass(frozen=True)
class TappedWarehouse(Warehouse):
    """A warehouse whose sessions are tapped."""

    listener: Listener | None = field(default=None, repr=False)

    def connect(
        self, *, autocommit: bool = False, application_name: str = "lcm"
    ) -> psycopg.Connection[TupleRow]:
        assert self.listener is not None
        parts = {**self._session_parts, "application_name": application_name}
        session = TappedSession.connect(
            make_conninfo("", **parts), autocommit=autocommit, cursor_factory=TappedCursor
        )
        session.listener, session.statements = self.listener, []
        return session


class TappedApi(LoyaltyApi):
    """A client that tells of each page."""

    listener: Listener

    async def call(self, endpoint: Any, request: Any) -> Any:
        self.listener.reached(PAGE_ASKED, None)
        answer = await super().call(endpoint, request)
        self.listener.reached(PAGE_FETCHED, None)
        return answer


def tapped_api(listener: Listener) -> Callable[[Settings], LoyaltyApi]:
    """An `open_api` for the engine whose client tells the listener, and wastes no time."""

    def open_api(settings: Settings) -> LoyaltyApi:
        api = TappedApi.from_settings(settings, policy=HASTY)
        api.listener = listener
        return api

    return open_api
