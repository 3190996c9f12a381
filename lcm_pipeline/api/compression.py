"""Decompresses a body up to a maximum size: a few megabytes may expand to many gigabytes.

Servers send `deflate` both with and without zlib's header, and gzip as several members in a row.
"""

import zlib

_GZIP, _ZLIB, _RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_SIGN = b"\x1f\x8b"
# More than one occurs when a proxy compresses what the server has compressed.
_MAX_CODINGS = 3


class CompressionError(ValueError):
    """The body is damaged, cut off, or not compressed as its headers state."""


class SizeError(ValueError):
    """The body is larger than allowed."""


def decompress(body: bytes, content_encoding: str, most: int) -> bytes:
    """Return the body without its content codings, of at most `most` bytes.

    Raises CompressionError and SizeError.
    """
    codings = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in codings if name not in ("", "identity", "none")]
    if len(codings) > _MAX_CODINGS:
        raise CompressionError("the body is compressed too many times")
    for coding in reversed(codings if body else []):
        if coding in ("gzip", "x-gzip"):
            body = _inflate_gzip(body, most)
        elif coding == "deflate":
            body = _inflate_deflate(body, most)
        else:
            raise CompressionError("the body is compressed in a way that was not requested")
    return body


def _inflate_gzip(body: bytes, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    # Bytes after the last member are padding.
    while not parts or body.startswith(_GZIP_SIGN):
        part, body = _inflate(body, _GZIP, most - size)
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _inflate_deflate(body: bytes, most: int) -> bytes:
    looks_like_zlib = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    if looks_like_zlib:
        try:
            return _inflate(body, _ZLIB, most)[0]
        except CompressionError:
            pass  # raw deflate data looks like a zlib header by chance, once in a thousand bodies
    return _inflate(body, _RAW_DEFLATE, most)[0]


def _inflate(body: bytes, window: int, most: int) -> tuple[bytes, bytes]:
    """Return the content of one stream, and the bytes after it."""
    stream = zlib.decompressobj(window)
    try:
        # One byte more than allowed: zlib takes 0 as "no limit".
        inflated = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise CompressionError("the compressed body is damaged") from error
    if len(inflated) > most:
        raise SizeError
    if not stream.eof:
        raise CompressionError("the compressed body is cut off")
    return inflated, stream.unused_data
