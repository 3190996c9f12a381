"""Keyed hashes of phones and cards: equal numbers have equal hashes, useless without the key.

A hash is HMAC-SHA-256, cut to 62 bits, as an int in a range of its own: below every number of the
source and every stand-in of an erased person. So columns keep their types, and joins work. With ten
million numbers, the probability that two of them have the same hash is 1 in 90,000.

Keys form a chain, oldest first: each key hashes the hashes of the previous one. So a key can be
added without knowing the numbers, and a number that is read again passes the whole chain.
"""

import hmac
from dataclasses import dataclass

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.forgotten import key_digest

# Hashes range from -2**63 to this; the stand-ins of erased persons are above it.
LARGEST_HASH = -(2**62) - 1


class PseudonymKeyError(UsageError):
    """The keys of the settings are not those with which phones and cards were hashed."""


@dataclass(frozen=True, repr=False)
class Pseudonyms:
    """The keys, oldest first. Falsy without keys: then numbers are stored unchanged."""

    keys: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.keys)

    @property
    def digests(self) -> list[bytes]:
        """A digest of each key, which identifies it without revealing it."""
        return [key_digest(key) for key in self.keys]

    def only(self, number: int) -> "Pseudonyms":
        """Only the key with this number, from 1: it hashes the hashes of the previous key."""
        return Pseudonyms(self.keys[number - 1 : number])

    def phone(self, number: int | None) -> int | None:
        """The hash of a phone; None for None."""
        return self._hash(b"phone", number)

    def card(self, number: int | None) -> int | None:
        """The hash of a card number; None for None."""
        return self._hash(b"card", number)

    def digest(self, digest: bytes) -> bytes:
        """The keyed digest of a text with a phone; an unkeyed one could be found by trial."""
        for key in self.keys:
            digest = hmac.digest(key, b"digest:" + digest, "sha256")[:16]
        return digest

    def _hash(self, kind: bytes, number: int | None) -> int | None:
        if number is None:
            return None
        for key in self.keys:
            made = hmac.digest(key, b"%s:%d" % (kind, number), "sha256")
            number = LARGEST_HASH - (int.from_bytes(made[:8]) >> 2)
        return number
