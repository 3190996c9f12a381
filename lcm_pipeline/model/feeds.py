"""What is to be known of a feed beside how it is read: its table, its place, its grain.

`lcm migrate` writes these facts to `sync.feeds`, which the SQL joins.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FeedFacts:
    """The facts of one feed.

    main_table: the table of `core` that its rows go to. is_by_day: it is read day by day, and not
    client by client. has_marts: marts are built on it, and wait for it.
    """

    name: str
    main_table: str
    is_by_day: bool = False
    has_marts: bool = True


# In the order in which they are synced.
FEED_FACTS = (
    FeedFacts("registrations", "registrations", is_by_day=True),
    FeedFacts("operations", "operations"),
    FeedFacts("leads", "leads"),
    FeedFacts("favourites", "favourite_offers"),
)


def facts_of(feed: str) -> FeedFacts:
    """The facts of a feed by its name; KeyError for a name that is none."""
    return _BY_NAME[feed]


_BY_NAME = {facts.name: facts for facts in FEED_FACTS}
