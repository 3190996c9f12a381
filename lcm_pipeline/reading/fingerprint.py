"""Proven readings, and the state that is stored of one to detect changes later.

A fingerprint is a sum of row digests: equal rows in any order have equal fingerprints, so ties in
another order do not look like a change. The recent rows of a history are its newest, in order, as
digests of their keys and contents.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.tasks import ReadingKind

_MODULUS = 1 << 128
_DIGESTS = 24


class RecentRow(NamedTuple):
    """What is stored of a recent row: an 8-byte digest of its key, a 16-byte one of its content."""

    key: bytes
    digest: bytes


class ProvenState(NamedTuple):
    """A client's history as of its last proven reading.

    total: number of rows. fingerprint: 16 bytes over all of them.
    recent_rows: the newest rows, in the order sent; empty when one page contained everything and
    the endpoint has no details to fetch.
    """

    total: int
    fingerprint: bytes
    recent_rows: tuple[RecentRow, ...] = ()


class Reading(NamedTuple):
    """A proven reading.

    kind: `unchanged` has no rows, `delta` the new and changed ones, `full` all rows.
    envelope: the other members of the first response.
    single_page: rows in the one page that contained everything; 0 when there were several.
    """

    kind: ReadingKind
    rows: tuple[SourceRow, ...]
    state_to_store: ProvenState
    envelope: bytes | None
    single_page: int = 0


def whole_groups(rows: Sequence[SourceRow], most: int) -> Sequence[SourceRow]:
    """Return at most `most` first rows, without splitting a group of rows of equal moment."""
    if len(rows) <= most:
        return rows
    end = most
    while end > 0 and rows[end - 1].moment == rows[most].moment:
        end -= 1
    return rows[:end]


def recent_row(row: SourceRow) -> RecentRow:
    """Return what is stored of a row while it is among the newest."""
    key = blake2b(repr(row.key).encode(), digest_size=8).digest()
    return RecentRow(key, row.digest)


def fingerprint(rows: Iterable[SourceRow]) -> bytes:
    """Return the fingerprint of rows: the sum of their digests modulo 2**128, in any order."""
    return _to_bytes(sum(int.from_bytes(row.digest) for row in rows))


def adjusted_fingerprint(
    before: bytes, added: Iterable[SourceRow], removed: Iterable[bytes]
) -> bytes:
    """Return the fingerprint after adding rows and removing digests."""
    value = int.from_bytes(before) + sum(int.from_bytes(row.digest) for row in added)
    return _to_bytes(value - sum(int.from_bytes(digest) for digest in removed))


def pack_recent_rows(rows: Sequence[RecentRow]) -> bytes | None:
    """Encode recent rows for the warehouse; None when there are none."""
    return b"".join(row.key + row.digest for row in rows) or None


def unpack_recent_rows(packed: bytes | None) -> tuple[RecentRow, ...]:
    """The reverse of `pack_recent_rows`."""
    if not packed:
        return ()
    return tuple(
        RecentRow(packed[at : at + 8], packed[at + 8 : at + _DIGESTS])
        for at in range(0, len(packed), _DIGESTS)
    )


def _to_bytes(value: int) -> bytes:
    return (value % _MODULUS).to_bytes(16)
