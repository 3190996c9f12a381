"""The commit points of a sync and of a push, recognised by the statements on its session.

A statement names its point with a tag in its text; a commit is recognised by the statements of its
transaction.
"""

import re
from collections.abc import Iterable

RUN_BEGUN = "run begun"
ENLISTED = "roster enlisted"
CLAIMED = "tasks claimed"
PAGE_REQUESTED = "page requested"
PAGE_FETCHED = "page fetched"
BATCH_STAGED = "batch staged"
LEDGER_CLOSED = "ledger closed"
PUBLISH_BEGUN = "publish begun"
PUBLISH_UNDER_WAY = "publish under way"
STATE_UPDATED = "state updated"
BATCH_PUBLISHED = "batch published"
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
UPDATE_REQUESTED = PAGE_REQUESTED
UPDATE_ARRIVED = "update arrived"
UPDATE_APPLIED = "update applied"
UPDATE_RESPONDED = PAGE_FETCHED
UPDATE_SETTLED = "update settled"
PUSH_CLOSED = "push closed"

POINTS = (
    RUN_BEGUN,
    ENLISTED,
    CLAIMED,
    PAGE_REQUESTED,
    PAGE_FETCHED,
    BATCH_STAGED,
    LEDGER_CLOSED,
    PUBLISH_BEGUN,
    PUBLISH_UNDER_WAY,
    STATE_UPDATED,
    BATCH_PUBLISHED,
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
    UPDATE_REQUESTED,
    UPDATE_ARRIVED,
    UPDATE_APPLIED,
    UPDATE_RESPONDED,
    UPDATE_SETTLED,
    PUSH_CLOSED,
)

# A statement of a commit point carries a tag, `-- tag: NAME` in its file or in a comment before it.
_TAG = re.compile(r"\btag: ([a-z-]+)")

# The point that is reached after a statement; `_COMMITS` has those after the commit.
_STATEMENTS = {
    "run-begun": RUN_BEGUN,
    "tasks-added": ENLISTED,
    "tasks-claimed": CLAIMED,
    "file-loaded": FILE_LOADING,
    "rows-staged": BATCH_STAGED,
    "publish-begun": PUBLISH_BEGUN,
    "state-updated": STATE_UPDATED,
    "run-closed": RUN_CLOSING,
    "push-begun": PUSH_BEGINNING,
    "update-claimed": UPDATE_CLAIMING,
    "update-finished": UPDATE_SETTLED,
    "push-closed": PUSH_CLOSED,
}
# If a transaction has several, the first in this order is its point.
_COMMITS = {
    "tasks-added": ENLISTED,
    "outcomes-recorded": LEDGER_CLOSED,
    "batch-published": BATCH_PUBLISHED,
    "state-updated": PUBLISH_COMMITTED,
    "run-closed": RUN_CLOSED,
    "file-loaded": FILE_LOADED,
    "push-begun": PUSH_BEGUN,
    "update-claimed": UPDATE_CLAIMED,
    "update-rejected": UPDATE_REJECTED,
}
TAGS = _STATEMENTS.keys() | _COMMITS.keys()


def tag_of(text: str) -> str | None:
    """The tag of a statement; None if it is not a commit point."""
    found = _TAG.search(text)
    return found[1] if found else None


def point_of_statement(text: str, earlier: Iterable[str]) -> str | None:
    """The point that a statement has reached; `earlier`: those before it in its transaction."""
    tag = tag_of(text)
    if tag in _STATEMENTS:
        return _STATEMENTS[tag]
    is_publishing = any(tag_of(one) == "publish-begun" for one in earlier)
    return PUBLISH_UNDER_WAY if is_publishing else None


def point_of_commit(statements: Iterable[str]) -> str | None:
    """The point that is reached when a transaction of these statements is committed."""
    tags = {tag_of(text) for text in statements}
    return next((point for tag, point in _COMMITS.items() if tag in tags), None)
