"""Explains pydantic's errors in the words of .env: what is expected, an example, what was given."""

from datetime import date
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from lcm_pipeline.model.texts import shorten
from lcm_pipeline.settings.model import EARLIEST_START, PREFIX, Settings

_LONGEST_GIVEN = 80
# For messages about settings that have no default.
_EXAMPLES = {"operator": 7, "max_rps": 5, "max_in_flight": 64, "start_date": "2026-03-01"}


def explain(item: Any) -> str:
    """What a setting has to be, an example, and what was given, unless that may be a secret."""
    field = str(item["loc"][0])
    expected = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] != "value_error":
        # pydantic's own words are about Python's types.
        expected = f"expected {_expected(field)}"
    given = str(item["input"])
    is_private = "Secret" in str(Settings.model_fields[field].annotation) or "@" in given
    if is_private or not expected.startswith("expected"):
        return f"{PREFIX}{field.upper()}: {expected}"
    return f"{PREFIX}{field.upper()}: {expected}; got {shorten(given, _LONGEST_GIVEN)!r}"


def _expected(field: str) -> str:
    """What a setting has to be, with an example."""
    known = Settings.model_fields[field]
    example = known.default if known.default is not None else _EXAMPLES.get(field)
    such_as = "" if example is None else f", such as {example}"
    kinds = [kind for kind in get_args(known.annotation) if kind is not NoneType]
    kind = kinds[0] if kinds else known.annotation
    if get_origin(known.annotation) is Literal:
        *others, last = map(str, get_args(known.annotation))
        return f"{', '.join(others)} or {last}"
    if kind is bool:
        return "1 for yes or 0 for no"
    if kind is date:
        return f"a day, {EARLIEST_START} or later{such_as}"
    if kind in (int, float):
        bounds = {
            name: getattr(constraint, name)
            for constraint in known.metadata
            for name in ("ge", "gt", "le")
            if getattr(constraint, name, None) is not None
        }
        number = "a whole number" if kind is int else "a number"
        least, most = bounds.get("ge"), bounds.get("le")
        if least is not None:
            number += f" from {least} to {most}" if most is not None else f", {least} or more"
        elif "gt" in bounds:
            number += f" greater than {bounds['gt']}"
            number += f", {most} at most" if most is not None else ""
        return f"{number}{such_as}"
    return f"another value{such_as}"
