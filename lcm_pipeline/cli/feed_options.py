"""Options that name feeds and clients; a separate module, as importing the feeds takes time."""

from typing import Annotated

import typer

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.integers import LARGEST_INTEGER

_NAMES = [feed.name for feed in FEEDS]

FeedOption = Annotated[
    list[str] | None,
    typer.Option("--feed", metavar="FEED", help=f"One of {', '.join(_NAMES)}; repeatable."),
]
ClientOption = Annotated[
    list[int] | None,
    typer.Option(
        "--client",
        min=1,
        max=LARGEST_INTEGER,
        metavar="ID",
        help="Only this client, in full; repeatable.",
    ),
]


def known_feeds(names: list[str] | None) -> list[str] | None:
    """Return the feeds in the order in which a sync reads them; None for all.

    Raises BadParameter for an unknown name.
    """
    if not names:
        return None
    if unknown := set(names) - set(_NAMES):
        raise typer.BadParameter(
            f"{min(unknown)!r} is not a feed: expected one of {', '.join(_NAMES)}"
        )
    return [name for name in _NAMES if name in names]
