"""Reduces a row of a response to what paging needs: key, moment, digest, bytes.

Only key and moment are decoded here, with a Struct of just these fields; the rest of a row is
decoded when the row turns out to be new. A row whose key cannot be read is still a row: its digest
replaces the key, so that it is counted and can go to quarantine.
"""

from functools import cache
from hashlib import blake2b
from typing import Any

import msgspec

from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.json_split import SplitError, split_object
from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.payloads import READ_ERRORS


def source_row(endpoint: Endpoint[Any, Any], raw: bytes) -> SourceRow:
    """Read the key and moment of one row; a row without a key gets ("?", digest) as its key."""
    return source_rows(endpoint, (raw,))[0]


def source_rows(
    endpoint: Endpoint[Any, Any], raws: tuple[bytes | msgspec.Raw, ...] | list[msgspec.Raw]
) -> tuple[SourceRow, ...]:
    """Read the rows of one response, in the order sent."""
    decode = _key_decoder(endpoint.row_type, endpoint.key_fields, endpoint.moment_field).decode
    key_length = len(endpoint.key_fields)
    rows = []
    for item in raws:
        raw = bytes(item)
        digest = blake2b(raw, digest_size=16).digest()
        try:
            fields = msgspec.structs.astuple(decode(raw))
        except READ_ERRORS:
            fields = _fields_one_by_one(endpoint, raw)
        key = fields[:key_length]
        rows.append(
            SourceRow(("?", digest) if None in key else key, fields[key_length], digest, raw)
        )
    return tuple(rows)


def _fields_one_by_one(endpoint: Endpoint[Any, Any], raw: bytes) -> tuple[Any, ...]:
    """Decode each field alone, for a row that cannot be decoded as a whole; None on failure."""
    try:
        members = split_object(raw)
    except SplitError:
        members = {}
    fields: list[Any] = []
    for name in (*endpoint.key_fields, endpoint.moment_field):
        decoder = _key_decoder(endpoint.row_type, (), name)
        try:
            member = b'{"%s":%s}' % (str(name).encode(), members[str(name)])
            fields.append(msgspec.structs.astuple(decoder.decode(member))[0])
        except (KeyError, *READ_ERRORS):
            fields.append(None)
    return tuple(fields)


@cache
def _key_decoder(
    row_type: type[msgspec.Struct], key_fields: tuple[str, ...], moment_field: str | None
) -> msgspec.json.Decoder[Any]:
    """Build the decoder of a Struct with the key fields and the moment as the last field."""
    types = {field.name: field.type for field in msgspec.structs.fields(row_type)}
    fields: list[tuple[str, Any, Any]] = [(name, types[name], None) for name in key_fields]
    fields.append((moment_field or "_", types.get(moment_field or "_", str | None), None))
    return msgspec.json.Decoder(msgspec.defstruct("RowKey", fields), strict=False)
