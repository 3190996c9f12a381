"""A request for a page, and the page that it returns.

`reading` works with these types only: it never sees a payload or a socket. A row stays the bytes
that the server sent. Only its key and moment are decoded at once, the rest when the row turns out
to be new or changed: most rows of most readings are neither.
"""

from collections.abc import Hashable
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

# The hash whose digest tells whether a row, or an envelope, is the one that was read before. Not a
# function: it is called for each row that is received.
content_hash = partial(blake2b, digest_size=16)


class PageRequest(NamedTuple):
    """Request `length` rows from position `start`, as the server counts (from 0 or from 1)."""

    start: int
    length: int


class SourceRow(NamedTuple):
    """One row as the server sent it.

    key: identifies the row within its client; a row without one has its digest as key.
    moment: the text of the time that the service orders by, naive Moscow time; None when absent.
    digest: 16 bytes, of `raw` by `content_hash`.
    raw: the row as JSON bytes.
    """

    key: Hashable
    moment: str | None
    digest: bytes
    raw: bytes


class Page(NamedTuple):
    """One response: its rows in the order sent and the total that the server claims.

    envelope: JSON bytes of the other members of the response, without rows, total and error fields;
    None when the endpoint has no such members.
    is_suspicious: the response had ErrorCode 0 and a Message that is not known to be harmless.
    is_null: the list of rows was null, which proves less than an empty list.
    """

    rows: tuple[SourceRow, ...]
    total: int | None
    envelope: bytes | None = None
    is_suspicious: bool = False
    is_null: bool = False
