"""Sessions and an API client that report each moment of a sync to a listener.

They are passed to the engine as its Warehouse and its `open_api`. A listener is called before and
after each moment; an exception that it raises occurs where a real failure would.
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
from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse
from tests.crash.commit_points import (
    PAGE_FETCHED,
    PAGE_REQUESTED,
    point_of_commit,
    point_of_statement,
)

# Retries do not wait: realistic pauses would only cost time.
HASTY = RetryPolicy(first_wait=0.001, longest_wait=0.002, longest_retry_after=0.002)
_FEEDS = {feed.endpoint.name: feed.name for feed in FEEDS}


class Listener(Protocol):
    """Is called at every moment. text: a statement, or `commit`; session: None for the API."""

    def before(self, text: str, session: psycopg.Connection[Any]) -> None:
        """A statement or a commit is about to be sent."""

    def after(self, text: str, session: psycopg.Connection[Any]) -> None:
        """A statement or a commit was executed."""

    def reached(self, point: str, feed: str, session: psycopg.Connection[Any] | None) -> None:
        """A commit point was reached. feed: empty outside the sync of a feed."""


class TappedCursor(psycopg.Cursor[TupleRow]):
    """A cursor that reports each statement."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> "TappedCursor":
        with _reported(self, query):
            return super().execute(query, *arguments, **options)

    def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
        with _reported(self, query):
            super().executemany(query, *arguments, **options)

    @contextmanager
    def copy(self, statement: Any, *arguments: Any, **options: Any) -> Iterator[psycopg.Copy]:
        with _reported(self, statement), super().copy(statement, *arguments, **options) as copy:
            yield copy


class TappedSession(psycopg.Connection[TupleRow]):
    """A session that reports its statements and commits."""

    listener: Listener
    statements: list[str]
    feed: str

    @contextmanager
    def transaction(self, *arguments: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        self.statements = []
        with super().transaction(*arguments, **options) as transaction:
            yield transaction
            statements, self.statements = self.statements, []
            self.listener.before("commit", self)
        self.listener.after("commit", self)
        if point := point_of_commit(statements):
            self.listener.reached(point, self.feed, self)


@contextmanager
def _reported(cursor: TappedCursor, query: Any) -> Iterator[None]:
    session = cursor.connection
    assert isinstance(session, TappedSession)
    text = query if isinstance(query, str) else _text_of(query, session)
    session.listener.before(text, session)
    yield
    session.listener.after(text, session)
    point = point_of_statement(text, session.statements)
    session.statements.append(text)
    if point:
        session.listener.reached(point, session.feed, session)


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
        session.feed = application_name.removeprefix("lcm sync ")
        return session


class TappedApi(LoyaltyApi):
    """A client that reports each page."""

    listener: Listener

    async def call(self, endpoint: Any, request: Any) -> Any:
        feed = _FEEDS.get(endpoint.name, "")
        self.listener.reached(PAGE_REQUESTED, feed, None)
        response = await super().call(endpoint, request)
        self.listener.reached(PAGE_FETCHED, feed, None)
        return response


def tapped_api(listener: Listener) -> Callable[[Settings], LoyaltyApi]:
    """An `open_api` whose client reports to the listener and retries without waits."""

    def open_api(settings: Settings) -> LoyaltyApi:
        api = TappedApi.from_settings(settings, policy=HASTY)
        api.listener = listener
        return api

    return open_api
