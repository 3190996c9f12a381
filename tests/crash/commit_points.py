"""The commit points of a sync and of a push, recognised by the statements that pass on its session.

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

FILE_LOADING = "file loading"
FILE_LOADED = "file loaded"
PUSH_BEGINNING = "push beginning"
PUSH_BEGUN = "push begun"
UPDATE_CLAIMING = "update claiming"
UPDATE_CLAIMED = "update claimed"
UPDATE_REJECTED = "update rejected"
UPDATE_ASKED = PAGE_ASKED
UPDATE_ARRIVED = "update arrived"
UPDATE_APPLIED = "update applied"
UPDATE_ANSWERED = PAGE_FETCHED
UPDATE_SETTLED = "update settled"
PUSH_CLOSED = "push closed"

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

PUSH_POINTS = (
    FILE_LOADING,
    FILE_LOADED,
    PUSH_BEGINNING,
    PUSH_BEGUN,
    UPDATE_CLAIMING,
    UPDATE_CLAIMED,
    UPDATE_REJECTED,
    UPDATE_ASKED,
    UPDATE_ARRIVED,
    UPDATE_APPLIED,
    UPDATE_ANSWERED,
    UPDATE_SETTLED,
    PUSH_CLOSED,
)

# After the statement, its own point; after the commit that ends its transaction, the other.
_STATEMENTS = (
    ("insert into sync.runs", RUN_BEGUN),
    ("on the ledger of a run", ENLISTED),
    ("copy outbox.", FILE_LOADING),
    ("copy ", BATCH_STAGED),
    ("temp table staged_counts", PUBLISH_BEGUN),
    ("the proven state of the", STATE_UPDATED),
    ("update sync.runs set status", RUN_CLOSING),
    ("insert into outbox.pushes", PUSH_BEGINNING),
    ("set status = 'sending', push_id", UPDATE_CLAIMING),
    ("note what came of an attempt", UPDATE_SETTLED),
    ("end a push and count", PUSH_CLOSED),
)
_COMMITS = (
    ("on the ledger of a run", ENLISTED),
    ("became of some fetches", LEDGER_CLOSED),
    ("the proven state of the", PUBLISH_COMMITTED),
    ("update sync.runs set status", RUN_CLOSED),
    ("copy outbox.", FILE_LOADED),
    ("insert into outbox.pushes", PUSH_BEGUN),
    ("set status = 'sending', push_id", UPDATE_CLAIMED),
    ("set status = 'rejected', push_id", UPDATE_REJECTED),
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
