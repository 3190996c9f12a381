"""Decodes responses to UTF-8, whatever their headers say.

Servers and proxies declare charsets that their bytes are not in. So bytes that are valid UTF-8 are
taken as UTF-8, and the declared charset is used only for bytes that are not. A byte that fits
neither is kept: it costs the row that contains it, not the response.
"""

import codecs
import re
from functools import lru_cache

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s;,"']+)""", re.IGNORECASE)
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
# UTF-32 first: its byte order mark begins with that of UTF-16. A brace or "<" next to a NUL is
# UTF-16 without a mark.
_WIDE = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"{\x00", "utf-16-le"),
    (b"<\x00", "utf-16-le"),
    (b"\x00{", "utf-16-be"),
    (b"\x00<", "utf-16-be"),
)
# A list of allowed codecs, as some of Python's are not charsets (hex, rot13) and others take
# quadratic time on hostile bytes (idna, punycode).
_SINGLE_BYTE = ("cp", "iso8859", "koi8", "mac-", "ascii", "kz1048", "ptcp154", "tis-620")


class CharsetError(ValueError):
    """The text is neither UTF-8 nor in the charset that the response declares."""


def to_utf8(body: bytes, content_type: str) -> bytes:
    """Return the body as UTF-8 without a byte order mark; raises CharsetError."""
    if body.startswith(_BYTE_ORDER_MARK):
        return body[len(_BYTE_ORDER_MARK) :]
    if wide := next((name for sign, name in _WIDE if body.startswith(sign)), None):
        try:
            text = body.decode(wide, "surrogatepass")
        except UnicodeError as error:
            raise CharsetError(f"the text is not {wide.upper()}, or cut off") from error
        return text.removeprefix("\ufeff").encode("utf-8", "surrogatepass")
    codec = _codec_of(_charset_in_header(content_type) or "utf-8")
    if codec == "utf-8":
        declared = _DECLARED.match(body[:300])
        codec = _codec_of(declared[1].decode() if declared else "utf-8")
    if codec == "utf-8" or _is_utf8(body):
        return body
    if codec is None:
        raise CharsetError("the text is neither UTF-8 nor in the charset that it declares")
    return body.decode(codec, "surrogateescape").encode("utf-8", "surrogateescape")


def _is_utf8(body: bytes) -> bool:
    """Whether the text is UTF-8, apart from a few damaged bytes.

    One damaged text must not turn the whole response into another charset.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
        damaged = text.count("\ufffd")
        return len(text) - len(text.encode("ascii", "ignore")) - damaged > damaged
    return True


@lru_cache(64)
def _charset_in_header(content_type: str) -> str | None:
    found = _CHARSET.search(content_type)
    return found[1].lower() if found else None


@lru_cache(64)
def _codec_of(charset: str) -> str | None:
    """Return "utf-8", the name of a single-byte codec, or None for any other charset."""
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        return None
    if name.startswith("utf-8"):
        return "utf-8"
    return name if name.startswith(_SINGLE_BYTE) else None
