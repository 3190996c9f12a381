"""Applies the quirks of rows to a response: offsets on dates, and undocumented fields.

Rows are copied only if a quirk changes them; the world's own rows are never modified.
"""

from lcm_pipeline.simulator.fields import Fields, Row
from lcm_pipeline.simulator.moments import with_offset
from lcm_pipeline.simulator.programme import kopecks
from lcm_pipeline.simulator.quirks import Quirks

INFORMATION = "Данные предоставлены за весь период участия"
_DATES = frozenset(
    (
        "RegDate",
        "Proctime",
        "ActiveDate",
        "ExpiryDate",
        "ProcTime",
        "ConfirmDateEnd",
        "ProcTimeConfirm",
        "ActionDateEnd",
    )
)
_UNDOCUMENTED: Row = {"LoyaltyLevel": "Золотой", "PointsForecast": kopecks(1234), "SegmentId": 7}


def as_served(fields: Fields, quirks: Quirks) -> Fields:
    """The response with the quirks applied that change the content of rows."""
    if quirks.offset_dates == "none" and not quirks.extra_fields:
        return fields
    return {
        name: [_served(row, quirks) for row in content] if isinstance(content, list) else content
        for name, content in fields.items()
    }


def _served(row: Row, quirks: Quirks) -> Row:
    served: Row = dict(row)
    if quirks.offset_dates != "none":
        zone = quirks.offset_dates
        dates = {n: value for n, value in row.items() if n in _DATES and isinstance(value, str)}
        served |= {name: with_offset(value, zone) for name, value in dates.items()}
    return {**served, **_UNDOCUMENTED} if quirks.extra_fields else served
