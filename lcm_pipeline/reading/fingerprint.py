"""What a proven reading is, and what is remembered of it to show later that nothing changed.

A fingerprint is a sum of row digests: equal rows in any order have equal fingerprints, so ties
that swap do not look like a change. A head is the newest rows, in order, key and content apart.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Literal, NamedTuple

from lcm_pipeline.model.pages import SourceRow

_MODULUS = 1 << 128
_ENTRY = 24

ReadingKind = Literal["unchanged", "delta", "full"]


class HeadEntry(NamedTuple):
    """One remembered row: 8 bytes that stand for the key, and its 16-byte digest."""

    key: bytes
    digest: bytes


class Known(NamedTuple):
    """A client's history as of its last proven reading.

    total: rows that the source had. fingerprint: 16 bytes over all of them.
    head: the newest rows, in the order sent; empty where one page held everything and the
    endpoint has no details to ask for.
    """

    total: int
    fingerprint: bytes
    head: tuple[HeadEntry, ...] = ()


class Reading(NamedTuple):
    """A proven reading.

    kind: `unchanged` has no rows, `delta` the new and changed ones, `full` every row there is.
    known: what to remember of it. header: the rest of the first answer.
    single_page: rows in the one page that held everything; 0 where it took several.
    """

    kind: ReadingKind
    rows: tuple[SourceRow, ...]
    known: Known
    header: bytes | None
    single_page: int = 0


def whole_groups(rows: Sequence[SourceRow], most: int) -> Sequence[SourceRow]:
    """The first rows, at most so many, without a group of equal moments that would be cut."""
    if len(rows) <= most:
        return rows
    end = most
    while end > 0 and rows[end - 1].moment == rows[most].moment:
        end -= 1
    return rows[:end]


def head_entry(row: SourceRow) -> HeadEntry:
    """The remembered form of a row."""
    key = blake2b(repr(row.key).encode(), digest_size=8).digest()
    return HeadEntry(key, row.digest)


def fingerprint(rows: Iterable[SourceRow]) -> bytes:
    """The order-free fingerprint of some rows: the sum of their digests modulo 2**128."""
    return _to_bytes(sum(int.from_bytes(row.digest) for row in rows))


def adjusted_fingerprint(
    before: bytes, added: Iterable[SourceRow], removed: Iterable[bytes]
) -> bytes:
    """The fingerprint after some rows came and some digests went."""
    value = int.from_bytes(before) + sum(int.from_bytes(row.digest) for row in added)
    return _to_bytes(value - sum(int.from_bytes(digest) for digest in removed))


def pack_head(head: Sequence[HeadEntry]) -> bytes | None:
    """A head as bytes for the warehouse; None when empty."""
    return b"".join(entry.key + entry.digest for entry in head) or None


def unpack_head(packed: bytes | None) -> tuple[HeadEntry, ...]:
    """The reverse of `pack_head`."""
    if not packed:
        return ()
    return tuple(
        HeadEntry(packed[at : at + 8], packed[at + 8 : at + _ENTRY])
        for at in range(0, len(packed), _ENTRY)
    )


def _to_bytes(value: int) -> bytes:
    return (value % _MODULUS).to_bytes(16)
