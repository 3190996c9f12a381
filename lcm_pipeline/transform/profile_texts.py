"""Texts of a profile: what is stripped from them, and which of them are accidents.

A reason describes the fault and never quotes the text.
"""

import re
import unicodedata

# Words that spreadsheets and programs write where there is no value, in lower case. They are
# rejected in any case: a person who is really called Null has to be entered in the vendor's own
# programme, since here the accident is far more likely than the name.
_NO_VALUE = frozenset(
    {
        "null", "nan", "-nan", "none", "nat", "n/a", "н/д", "undefined", r"\n",
        "#n/a", "#na", "#n/a n/a", "#н/д", "#нд", "#nv", "#getting_data", "#ожидание_данных",
        "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan",
    }
)  # fmt: skip
# `NA` is how R writes it; Na is a surname.
_NO_VALUE_AS_WRITTEN = frozenset({"NA"})
_BRACKETED_NO_VALUE = re.compile(
    r"[(<\[{](null|nan|none|nat|na|n/a|undefined|blank|empty|пусто)[)>\]}]"
)
# `#REF!`, `#ИМЯ?` and the like in any language, a column too narrow to show, LibreOffice.
_SPREADSHEET_ERROR = re.compile(r"#+|#\S+[!?]|(err|ошибка):\d{3}")

# U+FFFD itself, and its bytes read as cp1252 and as cp1251.
_LOST_LETTERS = ("\ufffd", "ï¿½", "пїЅ")
_UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
# Letters and marks that show nothing though they are no format characters.
_BLANK_LETTERS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]")

# The byte of each character. A byte that has none is often kept as it is.
_BYTES_OF_CHARS = tuple(
    {bytes([byte]).decode(charset, "ignore") or chr(byte): byte for byte in range(256)}
    for charset in ("cp1251", "cp1252")
)

NO_VALUE = "an error of a spreadsheet or a word for no value"


def strip_format_characters(text: str) -> str:
    """Return the text without characters that only steer its display, such as bidi marks."""
    if text.isascii():
        return text
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


def stands_for_no_value(text: str) -> bool:
    """Whether a stripped text is an error of a spreadsheet or a program's word for no value."""
    lowered = text.lower()
    return (
        lowered in _NO_VALUE
        or text in _NO_VALUE_AS_WRITTEN
        or _BRACKETED_NO_VALUE.fullmatch(lowered) is not None
        or _SPREADSHEET_ERROR.fullmatch(lowered) is not None
    )


def find_text_error(text: str) -> str | None:
    """Return why a stripped text is not a valid value of any field; None if it is."""
    if stands_for_no_value(text):
        return NO_VALUE
    has_only_question_marks = "?" in text and not any(char.isalnum() for char in text)
    has_lost_letters = any(mark in text for mark in _LOST_LETTERS)
    if has_lost_letters or has_only_question_marks or _is_misread_utf8(text):
        return "its letters were lost in a conversion"
    if text.startswith("="):
        return "a formula of a spreadsheet"
    if _UNSENDABLE.search(text):
        return "holds a control character"
    # Only what is not printable can be a format character, and the look-up is the slow part.
    has_format_character = not text.isprintable() and any(
        unicodedata.category(char) == "Cf" for char in text
    )
    if has_format_character or _BLANK_LETTERS.search(text):
        return "holds an invisible character, such as a zero-width space"
    return None


def _is_misread_utf8(text: str) -> bool:
    """Whether the text is UTF-8 that a program read as cp1251 or cp1252, such as `РђРЅРЅР°`.

    Two letters or more: a single pair, such as `Сё`, may be written by a person.
    """
    if text.isascii():
        return False
    for table in _BYTES_OF_CHARS:
        try:
            read_right = bytes(table[char] for char in text).decode()
        except (KeyError, UnicodeDecodeError):
            continue  # not text of this charset, or not UTF-8
        if sum(not char.isascii() for char in read_right) >= 2:
            return True
    return False
