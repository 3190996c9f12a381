"""The commit points of a sync, recognised by the statements that pass on its session.

A statement tells its point by a mark in its text; a commit tells it by the statements before it.
"""

from collections.abc import Iterable

RUN_BEGUN = "run begun"
ENLISTED = "roster enlisted"
PAGE_ASKED = "page asked"
PAGE_FETCHED = "page fetched"
BATCH_STAGED = "batch staged"
LEDGER_CLOSED = "ledger closed"
PUBLISH_BEGUN = "publish begun"
PUBLISH_UNDER_WAY = "publish under way"
STATE_UPDATED = "state updated"
PUBLISH_COMMITTED = "publish committed"
RUN_CLOSING = "run closing"
RUN_CLOSED = "run closed"
PARTITION_MARKED = "partition marked"
ANYWHERE = "anywhere"

POINTS = (
    RUN_BEGUN,
    ENLISTED,
    PAGE_ASKED,
    PAGE_FETCHED,
    BATCH_STAGED,
    LEDGER_CLOSED,
    PUBLISH_BEGUN,
    PUBLISH_UNDER_WAY,
    STATE_UPDATED,
    PUBLISH_COMMITTED,
    RUN_CLOSING,
    RUN_CLOSED,
)

# After the statement, its own point; after the commit that ends its transaction, the other.
_STATEMENTS = (
    ("insert into sync.runs", RUN_BEGUN),
    ("on the ledger of a run", ENLISTED),
    ("copy ", BATCH_STAGED),
    ("temp table staged_counts", PUBLISH_BEGUN),
    ("the proven state of the", STATE_UPDATED),
    ("update sync.runs set status", RUN_CLOSING),
)
_COMMITS = (
    ("on the ledger of a run", ENLISTED),
    ("became of some fetches", LEDGER_CLOSED),
    ("the proven state of the", PUBLISH_COMMITTED),
    ("update sync.runs set status", RUN_CLOSED),
)


def point_of_statement(text: str, earlier: Iterable[str]) -> str | None:
    """The point that a statement has reached; `earlier` are those before it in its transaction."""
    lowered = text.lower()
    for mark, point in _STATEMENTS:
        if mark in lowered:
            return point
    is_publishing = any("temp table staged_counts" in one.lower() for one in earlier)
    return PUBLISH_UNDER_WAY if is_publishing else None


def point_of_commit(statements: Iterable[str]) -> str | None:
    """The point that is reached once a transaction of these statements is committed."""
    texts = [text.lower() for text in statements]
    for mark, point in _COMMITS:
        if any(mark in text for text in texts):
            return point
    return None
