"""A CSV file to updates of profiles: every cell read as what its column holds, or all refused.

Whether a value may be sent is judged later, row by row; here a cell that cannot be a number, a
date or a flag at all refuses the file, by line and column and never by value. The surprising
facts: Excel writes a semicolon between cells and its flags in the user's language, and the line
is the record's number, as a spreadsheet counts.
"""

import io
from collections.abc import Callable, Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import pandas as pd

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.profiles import COLUMNS, PROFILE_FIELDS, FieldKind, FileRow, UpdateFile

_SEPARATORS = (",", ";", "\t")
_KEY, _WHO = "client_id", "requested_by"
_ALLOWED = (_KEY, *COLUMNS, _WHO)
_FLAGS = {"true": True, "1": True, "истина": True, "false": False, "0": False, "ложь": False}


class UpdateFileRefused(UsageError):  # noqa: N818 - the name that the message completes
    """The file cannot be loaded; the message names the line and the column, never a value."""


def read_updates(content: bytes) -> UpdateFile:
    """Read a CSV file: a header, then one update in a line; an empty cell is null.

    UTF-8 with or without a mark; comma, semicolon or tab. Raises UpdateFileRefused.
    """
    records = _records(content)
    columns = _columns(records[0])
    rows = [
        FileRow(line, tuple(map(_reader(line), columns, cells)))
        for line, cells in enumerate(records[1:], start=2)
        if any(cell.strip() for cell in cells)
    ]
    if not rows:
        raise UpdateFileRefused("the file has a header and no rows")
    return UpdateFile(columns, rows, sha256(content).digest())


def _records(content: bytes) -> list[list[str]]:
    try:
        header = content.decode("utf-8-sig").partition("\n")[0]
    except UnicodeDecodeError:
        raise UpdateFileRefused(
            "the file is not UTF-8: save it as 'CSV UTF-8' (in Excel: Save as, CSV UTF-8)"
        ) from None
    try:
        table = pd.read_csv(
            io.BytesIO(content), header=None, dtype=str, keep_default_na=False, na_filter=False,
            skip_blank_lines=False, sep=max(_SEPARATORS, key=header.count), encoding="utf-8-sig",
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        raise UpdateFileRefused("the file is empty: expected a header and rows") from None
    except pd.errors.ParserError as error:
        # Of pandas' text only the counts are taken: the rest may quote the file.
        raise UpdateFileRefused(f"the file is no CSV: {_where(str(error))}") from None
    return [[str(cell) for cell in row] for row in table.itertuples(index=False, name=None)]


def _where(text: str) -> str:
    found = text.partition("Expected ")[2].strip()
    if found:
        return f"expected {found}"
    return "a quotation mark is opened and never closed, or a line is broken"


def _columns(header: Sequence[str]) -> tuple[str, ...]:
    columns = tuple(name.strip() for name in header)
    unknown = [name for name in columns if name not in _ALLOWED]
    doubled = sorted({name for name in columns if columns.count(name) > 1} - set(unknown))
    if len(unknown) == len(columns):
        # Without a header these would be somebody's name and phone.
        raise UpdateFileRefused(
            f"the first line is no header: it may name {', '.join(_ALLOWED)}, separated by comma,"
            " semicolon or tab"
        )
    if unknown:
        raise UpdateFileRefused(
            f"unknown columns: {', '.join(repr(name) for name in unknown)}. The header may name"
            f" {', '.join(_ALLOWED)}"
        )
    if doubled:
        raise UpdateFileRefused(f"columns named twice: {', '.join(doubled)}")
    if _KEY not in columns:
        raise UpdateFileRefused(f"the column {_KEY} is missing")
    if not set(columns) & set(COLUMNS):
        raise UpdateFileRefused(f"no column to update: give one of {', '.join(COLUMNS)}")
    return columns


def _reader(line: int) -> Callable[[str, str], Any]:
    """Read a cell of that line by its column."""

    def read(column: str, cell: str) -> Any:
        try:
            return _READERS[column](cell)
        except _UnfitCellError as error:
            raise UpdateFileRefused(f"line {line}, column {column}: {error}") from None

    return read


class _UnfitCellError(ValueError):
    """What a cell should have been."""


def _read_text(cell: str) -> str | None:
    if "\0" in cell:
        raise _UnfitCellError("expected a text without NUL characters")
    return cell or None


def _read_flag(cell: str) -> bool | None:
    if not cell.strip():
        return None
    flag = _FLAGS.get(cell.strip().lower())
    if flag is None:
        raise _UnfitCellError("expected true or false (or 1, 0, ИСТИНА, ЛОЖЬ)")
    return flag


def _read_date(cell: str) -> date | None:
    if not cell.strip():
        return None
    for form in ("%Y-%m-%d", "%d.%m.%Y"):
        try:
            return datetime.strptime(cell.strip(), form).date()
        except ValueError:
            continue
    raise _UnfitCellError("expected a day such as 1990-05-31 or 31.05.1990")


def _read_integer(bits: int) -> Callable[[str], int | None]:
    def read(cell: str) -> int | None:
        text = cell.strip()
        if not text:
            return None
        digits = text.removeprefix("-")
        number = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
        if number is None or not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
            raise _UnfitCellError("expected a whole number, in digits alone")
        return number

    return read


def _read_client(cell: str) -> int:
    number = _read_integer(64)(cell)
    if number is None:
        raise _UnfitCellError("expected the number of a client")
    return number


def _read_who(cell: str) -> str:
    if not cell.strip():
        raise _UnfitCellError("expected who asks; or leave the column out")
    return cell.strip()


_KINDS: dict[FieldKind, Callable[[str], Any]] = {
    "text": _read_text,
    "flag": _read_flag,
    "date": _read_date,
    "phone": _read_integer(64),
    "gender": _read_integer(16),
}
_READERS: dict[str, Callable[[str], Any]] = {
    _KEY: _read_client,
    **{one.column: _KINDS[one.kind] for one in PROFILE_FIELDS},
    _WHO: _read_who,
}
