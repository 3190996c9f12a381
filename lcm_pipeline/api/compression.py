"""Decompresses a body up to a maximum size: a few megabytes may expand to many gigabytes.

Servers send `deflate` both with and without zlib's header, and gzip as several members in a row.
"""

import zlib

_GZIP, _ZLIB, _RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_SIGN = b"\x1f\x8b"
# More than one occurs when a proxy compresses what the server has compressed.
_MAX_CODINGS = 3
# Bytes given to zlib at a time: few at first, as a member may be short.
_FIRST_BLOCK, _LARGEST_BLOCK = 1_024, 65_536


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
    size = at = 0
    # Bytes after the last member are padding.
    while not parts or body.startswith(_GZIP_SIGN, at):
        part, at = _inflate(body, _GZIP, most - size, at)
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


def _inflate(body: bytes, window: int, most: int, at: int = 0) -> tuple[bytes, int]:
    """Return the content of the stream that begins at an offset, and the offset behind it."""
    stream = zlib.decompressobj(window)
    parts: list[bytes] = []
    # In blocks: at its end a stream copies all that follows, which takes quadratic time for a body
    # of millions of empty members.
    left, block = most, _FIRST_BLOCK
    while at < len(body) and not stream.eof:
        given = body[at : at + block]
        try:
            # One byte more than allowed: zlib takes 0 as "no limit".
            inflated = stream.decompress(given, left + 1)
        except zlib.error as error:
            raise CompressionError("the compressed body is damaged") from error
        left -= len(inflated)
        if left < 0:
            raise SizeError
        parts.append(inflated)
        at += len(given) - len(stream.unused_data)
        block = min(2 * block, _LARGEST_BLOCK)
    if not stream.eof:
        raise CompressionError("the compressed body is cut off")
    return b"".join(parts), at
