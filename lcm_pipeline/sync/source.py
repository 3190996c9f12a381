"""What a reading needs of the world: the API, how it pages, and the window that is read for."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.model.forgotten import Forgotten
from lcm_pipeline.model.windows import Window
from lcm_pipeline.reading.proof import PagingHabits


@dataclass
class Source:
    """The API as one run sees it.

    distrusts: believe no total that a single page satisfies. forgotten: persons who were erased,
    and are not taken in again.
    """

    api: LoyaltyApi
    window: Window
    zone: ZoneInfo
    page_length: int
    habits: PagingHabits = field(default_factory=PagingHabits)
    distrusts: bool = False
    forgotten: Forgotten = field(default_factory=Forgotten)
