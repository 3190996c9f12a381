"""What one request of a paged reading asks for and what it brings back.

The sync engine reasons about these alone: it never sees a payload, a header or a socket.
A row is kept as the bytes the server sent; only its key and its moment are read at once,
and the rest is decoded when the row turns out to be new or changed.
"""

from collections.abc import Hashable
from typing import NamedTuple


class Ask(NamedTuple):
    """One request: `length` rows from position `start`, in the server's own counting."""

    start: int
    length: int


class SourceRow(NamedTuple):
    """One row as it came.

    key: what makes the row this row within its client; rows that lack one get their digest as key.
    moment: the text of the time that the service orders by, naive Moscow time; None where absent.
    digest: 16 bytes of BLAKE2b over the row's bytes, so equal bytes are equal digests.
    raw: the row as JSON bytes.
    """

    key: Hashable
    moment: str | None
    digest: bytes
    raw: bytes


class Page(NamedTuple):
    """One answer: its rows in the order sent and the total that the server claims.

    header: the JSON bytes of everything in the answer beside the rows, the total and the error
    fields; None where the endpoint has nothing of that kind.
    suspicious: the answer had ErrorCode 0 and a Message that was not seen to be harmless.
    is_null: null stood in the place of the list of rows, which is less than an empty list.
    """

    rows: tuple[SourceRow, ...]
    total: int | None
    header: bytes | None = None
    suspicious: bool = False
    is_null: bool = False
