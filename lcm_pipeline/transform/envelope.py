"""The members of a response other than its rows, read value by value.

A value that does not fit is read as None, and its fault is recorded; the other values are not
affected. All faults of an envelope make one entry in quarantine.
"""

from collections.abc import Callable, Container
from decimal import Decimal
from typing import TypeVar

import msgspec

from lcm_pipeline.model.pages import SourceRow, content_hash
from lcm_pipeline.model.payloads import READ_ERRORS, Int32, Int64
from lcm_pipeline.transform.values import InvalidValueError

ValueT = TypeVar("ValueT")

INT32: msgspec.json.Decoder[int | None] = msgspec.json.Decoder(Int32 | None, strict=False)
INT64: msgspec.json.Decoder[int | None] = msgspec.json.Decoder(Int64 | None, strict=False)
_DECIMAL: msgspec.json.Decoder[Decimal | None] = msgspec.json.Decoder(Decimal | None, strict=False)
ROWS: msgspec.json.Decoder[list[msgspec.Raw] | None] = msgspec.json.Decoder(
    list[msgspec.Raw] | None
)

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

# The context of its rows in quarantine, which has always called it so.
ENVELOPE = "header"


def holds_any(envelope: bytes, names: Container[str]) -> bool:
    """Whether an envelope has one of these members; True if it cannot be read, to report that."""
    try:
        return any(name in names for name in _MEMBERS.decode(envelope))
    except READ_ERRORS:
        return True


def to_source_row(raw: bytes) -> SourceRow:
    """Return bytes that are not a row of a page in the form of one."""
    return SourceRow((), None, content_hash(raw).digest(), raw)


class EnvelopeReader:
    """Reads the members of an envelope and collects their faults.

    present: the members read so far that the envelope has, null included, and that fit.
    """

    def __init__(self, envelope: bytes) -> None:
        self.faults: list[str] = []
        self.present: set[str] = set()
        self._members: dict[str, msgspec.Raw] = {}
        try:
            self._members = _MEMBERS.decode(envelope)
        except READ_ERRORS:
            self.faults.append("the header: malformed JSON")

    @property
    def reason(self) -> str:
        """All faults in one text, empty when there are none."""
        return "; ".join(self.faults)

    def read(self, name: str, decoder: msgspec.json.Decoder[ValueT]) -> ValueT | None:
        """Read one member; None when it is absent, null or does not fit."""
        raw = self._members.get(name)
        if raw is None:
            return None
        try:
            value = decoder.decode(raw)
        except msgspec.ValidationError as error:
            self.faults.append(f"{name}: {error}")
        except READ_ERRORS:
            self.faults.append(f"{name}: malformed JSON")
        else:
            self.present.add(name)
            return value
        return None

    def read_amount(
        self, name: str, to_amount: Callable[[Decimal | None, str], Decimal | None]
    ) -> Decimal | None:
        """Read one member and round it by `to_amount`; None when it does not fit."""
        try:
            return to_amount(self.read(name, _DECIMAL), name)
        except InvalidValueError as error:
            self.present.discard(name)
            self.faults.append(str(error))
            return None
