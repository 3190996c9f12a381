"""Reads profile updates from a CSV file.

When rows do not match the header, any value may be in any column, so nothing of the file is loaded.
A cell that cannot be parsed rejects only its row. Line numbers are physical lines of the file, and
no message quotes a cell.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any, NoReturn

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.profiles import (
    CLIENT_ID,
    COLUMNS,
    REQUESTED_BY,
    FieldError,
    FileRow,
    UpdateFile,
)
from lcm_pipeline.push.csv_cells import UnreadableCellError, read_cell
from lcm_pipeline.transform.profile_texts import strip_format_characters

_SEPARATORS = (",", ";", "\t")
_ALLOWED = (CLIENT_ID, *COLUMNS, REQUESTED_BY)
_BLANK_LINE = re.compile(r'[\s,;"]*')
# A first line `sep=;` names the separator for Excel, which does not show the line.
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[\s,;]*', re.IGNORECASE)
_LINE_BREAK = re.compile(r"[\r\n]")

# The number of the record's first line, and its cells.
_Record = tuple[int, list[str]]


class UpdateFileError(UsageError):
    """The file cannot be loaded; the message names the line and never quotes a value."""


def read_updates(content: bytes) -> UpdateFile:
    """Read a CSV file with a header and one update per line; an empty cell is None.

    Encoding: UTF-8, or UTF-16 with a byte order mark. Separator: comma, semicolon, tab, or the one
    in a first line `sep=`. Raises UpdateFileError when the file cannot be read or its rows do not
    match the header.
    """
    records = _records(_decode(content))
    header_line, header = next(records, (1, []))
    if not header:
        raise UpdateFileError("the file is empty: expected a header and rows")
    columns = _parse_header(header_line, header)
    rows = [
        _parse_row(line, columns, cells)
        for line, cells in records
        if any(cell.strip() for cell in cells)
    ]
    if not rows:
        raise UpdateFileError("the file has a header and no rows")
    return UpdateFile(tuple(columns.values()), rows, sha256(content).digest())


def _decode(content: bytes) -> str:
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end == len(content) and error.reason in (
            "unexpected end of data",
            "truncated data",
        ):
            problem = "the file is cut off in the middle of a character: export it again"
        else:
            problem = "the file is not UTF-8: save it as 'CSV UTF-8' (in Excel: Save as, CSV UTF-8)"
        raise UpdateFileError(problem) from None


def _records(text: str) -> Iterator[_Record]:
    """Yield the records from the header on, each with the number of its first line."""
    lines: Iterator[str] = io.StringIO(text, newline="")
    separator, before = None, 0
    for line in lines:
        hint = _SEPARATOR_LINE.fullmatch(line.strip("\r\n"))
        if hint and separator is None:
            separator = hint[1]
        elif not _BLANK_LINE.fullmatch(line):
            separator = separator or max(_SEPARATORS, key=line.count)
            lines = chain([line], lines)
            break
        before += 1
    # Strict, so that a misplaced quotation mark is an error: csv would guess and join rows.
    reader = csv.reader(lines, delimiter=separator or ",", strict=True, skipinitialspace=True)
    while True:
        start = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            _raise_quotation_error(start)
        if any(_LINE_BREAK.search(cell.strip()) for cell in cells):
            _raise_quotation_error(start)
        yield start, cells


def _raise_quotation_error(line: int) -> NoReturn:
    raise UpdateFileError(
        f"line {line}: a quotation mark is not closed on the same line, or is inside a cell: it"
        " would join other cells or rows to this one"
    )


def _parse_header(line: int, header: Sequence[str]) -> dict[int, str]:
    """Return the column names by position, without columns that have no name."""
    columns = {at: _normalize_name(name) for at, name in enumerate(header) if _normalize_name(name)}
    names = list(columns.values())
    unknown = [header[at].strip() for at, name in columns.items() if name not in _ALLOWED]
    doubled = sorted({name for name in names if names.count(name) > 1 and name in _ALLOWED})
    if len(unknown) == len(names):
        # Do not quote the line: in a file without a header it contains a name and a phone.
        raise UpdateFileError(
            f"line {line} is not a header: it may name {', '.join(_ALLOWED)}, separated by comma,"
            " semicolon or tab"
        )
    if unknown:
        raise UpdateFileError(
            f"unknown columns: {', '.join(repr(name) for name in unknown)}. The header may name"
            f" {', '.join(_ALLOWED)}"
        )
    if doubled:
        raise UpdateFileError(f"columns named twice: {', '.join(doubled)}")
    if CLIENT_ID not in names:
        raise UpdateFileError(f"the column {CLIENT_ID} is missing")
    if not set(names) & set(COLUMNS):
        raise UpdateFileError(f"no column to update: give one of {', '.join(COLUMNS)}")
    return columns


def _normalize_name(name: str) -> str:
    """Return a column name in lower case, with underscores, without invisible characters."""
    words = strip_format_characters(name).casefold().split()
    return "_".join(words)


def _parse_row(line: int, columns: dict[int, str], cells: Sequence[str]) -> FileRow:
    """Parse a record that is not blank; raises UpdateFileError if it contradicts the header."""
    width = max(columns) + 1
    if len(cells) < width:
        raise UpdateFileError(
            f"line {line}: the header has {width} cells and this row {len(cells)}: the row is cut"
            " off or a separator is missing"
        )
    if nameless := [at for at, cell in enumerate(cells) if cell.strip() and at not in columns]:
        raise UpdateFileError(
            f"line {line}: cell {nameless[0] + 1} has no column name in the header: there is a"
            " separator too many, or the cell should be in quotation marks"
        )
    values: list[Any] = []
    errors = []
    for at, column in columns.items():
        try:
            values.append(read_cell(column, cells[at]))
        except UnreadableCellError as error:
            values.append(None)
            errors.append(FieldError(str(error), column))
    return FileRow(line, tuple(values), tuple(errors))
