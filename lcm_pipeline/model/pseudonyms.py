"""Phones and cards as keyed hashes: equal ones stay equal, and without the key nobody knows whose.

A hash is an int of its own range, below every number of the source and every stand-in of an erased
person, so that columns keep their type and joins their meaning: HMAC-SHA-256, cut to 62 bits. Of
ten million numbers two are alike with a probability of 1 in 90,000.

Keys are a chain, oldest first: each hashes what the one before has made. So a key is added without
knowing a single number, and a number that comes again is hashed through the whole chain.
"""

import hmac
from dataclasses import dataclass, field

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.forgotten import key_digest

# Hashes lie from -2**63 to this; stand-ins of erased persons lie above it.
LARGEST_HASH = -(2**62) - 1


class PseudonymKeyError(UsageError):
    """The keys of the settings are not those that phones and cards were stored with."""


@dataclass(frozen=True, repr=False)
class Pseudonyms:
    """The keys, oldest first; without any, everything stays as it came. Falsy then."""

    keys: tuple[bytes, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.keys)

    @property
    def digests(self) -> list[bytes]:
        """Which keys they are, without saying them."""
        return [key_digest(key) for key in self.keys]

    def only(self, number: int) -> "Pseudonyms":
        """The key of that number alone, from 1: it makes of a hash before it the one after it."""
        return Pseudonyms(self.keys[number - 1 : number])

    def phone(self, number: int | None) -> int | None:
        """The hash of a phone; None stays."""
        return self._hash(b"phone", number)

    def card(self, number: int | None) -> int | None:
        """The hash of a number of a card; None stays."""
        return self._hash(b"card", number)

    def digest(self, digest: bytes) -> bytes:
        """The digest of a text with a phone: on one without a key, all phones can be tried."""
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
