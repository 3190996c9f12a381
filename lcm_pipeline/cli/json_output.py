"""Output for machines: one JSON object on standard output."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any


def print_json(value: Mapping[str, Any]) -> None:
    """Print a value that may hold dataclasses, dates, aware times and paths; times become UTC."""
    json.dump(value, sys.stdout, default=_as_json, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path | Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
