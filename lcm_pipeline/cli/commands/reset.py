"""`lcm reset`: make the next sync read feeds or clients in full."""

import typer

from lcm_pipeline.cli.feed_options import ClientOption, FeedOption, known_feeds
from lcm_pipeline.cli.options import YesOption
from lcm_pipeline.cli.prompts import confirm
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.texts import counted
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.ingest.resets import missing_clients, reset_clients, reset_days
from lcm_pipeline.warehouse.ingest.runs import abandon_commands


def reset(
    feeds: FeedOption = None,
    clients: ClientOption = None,
    yes: YesOption = False,
) -> None:
    """Make the next sync read feeds or clients in full, even if they are up to date.

    No row is deleted and no day becomes incomplete: the current rows stay until the sync has read
    them again. A whole feed costs one request per page of each client; lcm plan estimates how many.

    Examples: [bold]lcm reset --feed leads[/bold], [bold]lcm reset --client 1000001[/bold]
    """
    if not feeds and not clients:
        raise typer.BadParameter("give --feed FEED or --client ID")
    names = known_feeds(feeds)
    chosen = [feed for feed in FEEDS if names is None or feed.name in names]
    of_clients = [feed.name for feed in chosen if not feed.is_by_day]
    # Registrations are read by day, so a client has no state of its own to reset there.
    resets_days = not clients and any(feed.is_by_day for feed in chosen)
    with existing_warehouse(load_settings()) as warehouse:
        with warehouse.connect(application_name="lcm reset") as session:
            missing = missing_clients(session, clients or ())
        if missing:
            raise UsageError(f"not in the roster: {', '.join(map(str, missing))}")
        if not yes:
            who = counted(len(clients), "client") if clients else "all its clients"
            confirm(
                f"Read {', '.join(feed.name for feed in chosen)} of {warehouse.location} in full"
                f" again ({who})?"
            )
        with warehouse.connect(application_name="lcm reset") as session:
            abandon_commands(session)
            count = reset_clients(session, of_clients, clients or None)
            days = reset_days(session) if resets_days else 0
    typer.echo(
        f"the next sync reads in full: {counted(count, 'client')},"
        f" {counted(days, 'registration day')}"
    )
