"""Hashes the phones and cards of the rows to stage.

In texts that people read (rows in quarantine, and fields that the payload definition does not know)
numbers that may be a phone or a card are masked. The rest shows what is wrong with a row.
"""

import json
import re
from dataclasses import replace

from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.tables import CORE_TABLES
from lcm_pipeline.model.tasks import StagedRows

MASK = "[number]"
# By table, the columns that contain a phone or a card number.
HASHED_COLUMNS = {"registrations": ("card_number", "out_number"), "clients": ("phone",)}

# Seven digits in a row, or ten with the separators that people put into phone numbers. Dates and
# times do not match.
_NUMBER = re.compile(
    r"(?<![\w.])(?!\d{4}-\d\d-\d\d(?!\d))\+?\d(?:[ ()\-.–/]{0,3}\d){9,}(?!\w)|\d{7,}"
)
_DIGITS = re.compile(r"\d[\d ()\-.–/]{5,}\d")
_ESCAPED_DIGIT = re.compile(r"\\u003([0-9])")
# A text with the colon that makes it a name, or a number; all other parts of JSON have no digits.
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*+")(\s*+:)?|-?\d[\d.eE+-]*+', re.DOTALL)
_COLUMNS = {table.name: table.staging_columns for table in CORE_TABLES}


def pseudonymize(staged: StagedRows, pseudonyms: Pseudonyms) -> StagedRows:
    """Return the rows with hashes; without keys, the rows themselves."""
    if not pseudonyms:
        return staged
    return replace(
        staged,
        records={
            table: [_hashed(table, record, pseudonyms) for record in records]
            for table, records in staged.records.items()
        },
        bad_rows=[
            replace(row, raw=mask_numbers(row.raw), digest=pseudonyms.digest(row.digest))
            for row in staged.bad_rows
        ],
    )


def mask_numbers(text: str) -> str:
    """Return the text with numbers masked that may be a phone or a card."""
    return _NUMBER.sub(MASK, _ESCAPED_DIGIT.sub(r"\1", text))


def mask_extra(text: str) -> str:
    """Return the JSON object with values masked that may be a phone or a card.

    Token by token, as a decoder refuses integers of thousands of digits, and deep nesting.
    """
    if not _DIGITS.search(_ESCAPED_DIGIT.sub(r"\1", text)):
        return text
    return _TOKEN.sub(_masked_token, text)


def _masked_token(found: re.Match[str]) -> str:
    quoted, colon = found.groups()
    if quoted is None:
        return json.dumps(MASK) if _NUMBER.search(found[0]) else found[0]
    if colon is not None:
        return found[0]
    value = json.loads(quoted)
    masked = _NUMBER.sub(MASK, value)
    return quoted if masked == value else json.dumps(masked, ensure_ascii=False)


def _hashed(table: str, record: tuple[object, ...], pseudonyms: Pseudonyms) -> tuple[object, ...]:
    columns = _COLUMNS[table]
    values = list(record)
    for column in HASHED_COLUMNS.get(table, ()):
        at = columns.index(column)
        number = values[at]
        assert number is None or isinstance(number, int)  # noqa: S101 - as the columns are typed
        values[at] = pseudonyms.phone(number) if column == "phone" else pseudonyms.card(number)
    at = columns.index("extra")
    if (extra := values[at]) is not None:
        values[at] = mask_extra(str(extra))
    return tuple(values)
