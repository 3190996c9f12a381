"""The registry of feeds: one entry defines a feed, and no other module lists the feeds.

A feed is a stream of rows that is read from one endpoint into one or more tables. Assets, checks,
`lcm status`, completeness, the report's labels and the table `sync.feeds` are made from this list;
tests/feeds checks that each of them has every feed. CONTRIBUTING.md explains how to add one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lcm_pipeline.model import endpoints, tables
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.model.tasks import ClientRows, StagedRows
from lcm_pipeline.transform import favourite_envelope, operations
from lcm_pipeline.transform.favourites import transform_favourites
from lcm_pipeline.transform.leads import transform_leads
from lcm_pipeline.transform.operations import transform_operations


@dataclass(frozen=True, kw_only=True)
class Feed:
    """One feed: a `DayFeed` or a `ClientFeed`.

    tables: those it fills; totals are compared with the first one. name_tables: of core, with
    the names that its rows contain. other_tables: of core, which its rows fill too.
    assets: the Dagster assets it materializes, each with its description; the first one has the
    checks. asset_group: where the UI shows them. label: its name in the report and the dashboards,
    in Russian and English. has_marts: marts are built on the feed, and are blocked when its totals
    do not agree.
    is_by_day: a task is a registration day, and not a client. unit: what a task is called in
    messages.
    """

    is_by_day: ClassVar[bool]
    unit: ClassVar[str]

    name: str
    endpoint: Endpoint[Any, Any]
    tables: tuple[CoreTable, ...]
    assets: Mapping[str, str]
    asset_group: str
    label: tuple[str, str]
    name_tables: tuple[str, ...] = ()
    other_tables: tuple[str, ...] = ()
    has_marts: bool = True

    @property
    def main_table(self) -> CoreTable:
        """The table whose live rows and quarantine add up to the source's totals."""
        return self.tables[0]

    @property
    def all_tables(self) -> tuple[str, ...]:
        """The names of all tables of core that its rows fill."""
        return (*(table.name for table in self.tables), *self.name_tables, *self.other_tables)

    @property
    def step(self) -> str:
        """The name of its step in a run: that of its asset, or of the feed if it has several."""
        return next(iter(self.assets)) if len(self.assets) == 1 else self.name

    @property
    def checked_asset(self) -> str:
        """The asset that the checks of the feed belong to."""
        return next(iter(self.assets))

    def table_of(self, asset: str) -> str:
        """The table that an asset shows: that of its name; for the checked asset the main one."""
        return self.main_table.name if asset == self.checked_asset else asset


@dataclass(frozen=True, kw_only=True)
class DayFeed(Feed):
    """The roster, which is read by registration day; see `sync.registrations`."""

    is_by_day = True
    unit = "day"


@dataclass(frozen=True, kw_only=True)
class ClientFeed(Feed):
    """A feed that is read client by client, see `sync.client`.

    transform: turns the rows of one client into records. envelope_members: what is stored of a
    response besides its rows. has_details: the goods of each row are requested row by row.
    """

    is_by_day = False
    unit = "client"

    transform: Callable[[ClientRows], StagedRows]
    envelope_members: frozenset[str] = frozenset()
    has_details: bool = False


REGISTRATIONS = DayFeed(
    name="registrations",
    endpoint=endpoints.CLIENT_INFO_PERIOD,
    tables=(tables.registrations, tables.clients),
    name_tables=("points_of_sale",),
    other_tables=("cards",),
    assets={
        "clients": "One row per client who registered on the day, from ClientInfoPeriod.\n\n"
        "Fills `core.registrations`, `core.clients`, `core.cards` and `core.points_of_sale`. A day "
        "is done when it was polled after it had ended; earlier days that were never polled are "
        "polled too, since the other assets read every client registered by the end of their day.",
    },
    asset_group="roster",
    label=("Регистрации", "Registrations"),
)
OPERATIONS = ClientFeed(
    name="operations",
    endpoint=endpoints.OPERATION_HISTORY,
    tables=(tables.operations, tables.clients),
    name_tables=("bonus_sources",),
    assets={
        "operations": "One row per component of an operation of the day, from OperationHistory.\n\n"
        "Fills `core.operations`, and the phones of `core.clients`. A range of days costs one "
        "reading, as the endpoint returns a client's whole history.",
    },
    asset_group="facts",
    label=("Операции", "Operations"),
    transform=transform_operations,
    envelope_members=operations.ENVELOPE_MEMBERS,
)
LEADS = ClientFeed(
    name="leads",
    endpoint=endpoints.LEADS_PAGING_INFO,
    tables=(tables.leads,),
    assets={
        "leads": "One row per lead created on the day, from LeadsPagingInfo.\n\n"
        "Fills `core.leads`; a lead that changes later is changed in its own day.",
    },
    asset_group="facts",
    label=("Обращения", "Leads"),
    transform=transform_leads,
)
FAVOURITES = ClientFeed(
    name="favourites",
    endpoint=endpoints.CLIENT_FAVORITE_DATA_INFO,
    tables=(
        tables.favourite_offers,
        tables.favourite_goods,
        tables.favourite_groups,
        tables.favourite_stats,
    ),
    name_tables=("goods",),
    assets={
        "favourite_offers": "One row per offer made on the day, in `core.favourite_offers`.",
        "favourite_goods": "One row per good of an offer, in `core.favourite_goods`; goods have no "
        "day of their own: a day brings those of the offers that are new or changed.",
        "favourite_groups": "One row per client and group of goods, in `core.favourite_groups`: "
        "how often it was chosen, as of the last reading.",
        "favourite_stats": "One row per client in `core.favourite_stats`, with the header's twelve "
        "all-time numbers, on the last day of the run if they changed by then.",
    },
    asset_group="favourites",
    label=("Любимые товары", "Favourites"),
    transform=transform_favourites,
    envelope_members=favourite_envelope.MEMBERS,
    has_details=True,
)

# In reading order. The roster first: the other feeds are read for the clients that it lists.
FEEDS: tuple[Feed, ...] = (REGISTRATIONS, OPERATIONS, LEADS, FAVOURITES)
CLIENT_FEEDS = tuple(feed for feed in FEEDS if isinstance(feed, ClientFeed))


def feed_named(name: str) -> Feed:
    """The feed of that name; raises KeyError if there is none."""
    return _BY_NAME[name]


_BY_NAME = {feed.name: feed for feed in FEEDS}
