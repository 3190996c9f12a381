"""What a reading depends on: the API, how it pages, and the window that is read for."""

from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.model.forgotten import Forgotten
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.windows import Window
from lcm_pipeline.reading.proof import PagingHabits


@dataclass
class Source:
    """The API as one run sees it.

    distrusts: do not believe a total that a single page satisfies. forgotten: erased persons, whose
    rows are dropped.
    kept_from: the first business day whose facts are kept; None for all. pseudonyms: the keys that
    phones and cards are hashed with before staging.
    """

    api: LoyaltyApi
    window: Window
    zone: ZoneInfo
    page_length: int
    habits: PagingHabits = field(default_factory=PagingHabits)
    distrusts: bool = False
    forgotten: Forgotten = field(default_factory=Forgotten)
    kept_from: date | None = None
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)
