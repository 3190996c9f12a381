"""Reduces a row of a response to what paging needs: key, moment, digest, bytes.

Only key and moment are decoded here, with a Struct of just these fields; the rest of a row is
decoded when the row turns out to be new. A row whose key cannot be read is still a row: its digest
replaces the key, so that it is counted and can go to quarantine.
"""

from functools import cache, partial
from typing import Any, cast

import msgspec
from msgspec.structs import astuple

from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.pages import SourceRow, content_hash
from lcm_pipeline.model.payloads import READ_ERRORS, read_field


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
        digest = content_hash(raw).digest()
        try:
            fields = astuple(decode(raw))
        except READ_ERRORS:
            # The row cannot be decoded as a whole: read each field alone.
            read = partial(read_field, raw, cast(type[msgspec.Struct], endpoint.row_type))
            moment = read(endpoint.moment_field) if endpoint.moment_field else None
            fields = (*map(read, endpoint.key_fields), moment)
        key = fields[:key_length]
        rows.append(
            SourceRow(("?", digest) if None in key else key, fields[key_length], digest, raw)
        )
    return tuple(rows)


@cache
def _key_decoder(
    row_type: type[msgspec.Struct], key_fields: tuple[str, ...], moment_field: str | None
) -> msgspec.json.Decoder[Any]:
    """Build the decoder of a Struct with the key fields and the moment as the last field."""
    types = {field.name: field.type for field in msgspec.structs.fields(row_type)}
    fields: list[tuple[str, Any, Any]] = [(name, types[name], None) for name in key_fields]
    fields.append((moment_field or "_", types.get(moment_field or "_", str | None), None))
    return msgspec.json.Decoder(msgspec.defstruct("RowKey", fields), strict=False)
