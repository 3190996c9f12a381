"""Erased clients, stored as keyed hashes only, so that they cannot be identified."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from lcm_pipeline.model.errors import UsageError


class ForgottenKeyError(UsageError):
    """The key that clients were erased with is missing, so a sync could bring them back."""


@dataclass(frozen=True, repr=False)
class Forgotten:
    """The erased clients. keys: secrets. hashes: of the clients, each with one of the keys."""

    keys: tuple[bytes, ...] = ()
    hashes: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def __contains__(self, client_id: object) -> bool:
        return isinstance(client_id, int) and not self.hashes.isdisjoint(self.hashes_of(client_id))

    def hashes_of(self, client_id: int) -> list[bytes]:
        """The hashes of a client, erased or not: one with each key."""
        return [client_hash(client_id, key) for key in self.keys]


def client_hash(client_id: int, key: bytes) -> bytes:
    """The keyed hash of a client: 32 bytes of BLAKE2b over its number in decimal digits."""
    return blake2b(str(client_id).encode(), key=_shorten_key(key), digest_size=32).digest()


def key_digest(key: bytes) -> bytes:
    """Identify a key without revealing it: 8 bytes of BLAKE2b."""
    return blake2b(_shorten_key(key), digest_size=8, person=b"lcm-key").digest()


def forgotten_by(keys: Iterable[bytes], rows: Iterable[tuple[bytes, bytes]]) -> Forgotten:
    """Build it from stored rows of hash and key digest; raises ForgottenKeyError without a key."""
    known = {key_digest(key): key for key in keys}
    listed = [(bytes(hashed), bytes(digest)) for hashed, digest in rows]
    missing = sum(digest not in known for _, digest in listed)
    if missing:
        raise ForgottenKeyError(
            f"{missing:,} of those who were erased need another LCM_PSEUDONYM_KEY than the one that"
            " is set, or a sync could bring them back. Set that key again"
        )
    return Forgotten(tuple(known.values()), frozenset(hashed for hashed, _ in listed))


def _shorten_key(key: bytes) -> bytes:
    # BLAKE2b takes keys of at most 64 bytes.
    return key if len(key) <= 64 else blake2b(key).digest()
