"""The responses of the service to requests.

A Desk responds from a world, with the current quirks. A refusal is HTTP 200 with an ErrorCode and a
Russian Message; the same code has different meanings at different endpoints.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from lcm_pipeline.simulator import favourites
from lcm_pipeline.simulator.bonuses import BONUS, CHEQUE
from lcm_pipeline.simulator.catalogue import POINTS_OF_SALE, PURCHASE
from lcm_pipeline.simulator.customers import Customer, Entry
from lcm_pipeline.simulator.endpoints import Endpoint, response_of
from lcm_pipeline.simulator.fields import Fields, Row
from lcm_pipeline.simulator.moments import with_offset
from lcm_pipeline.simulator.paging import Slice, cut
from lcm_pipeline.simulator.periods import matching_registrations, period_of
from lcm_pipeline.simulator.programme import kopecks
from lcm_pipeline.simulator.quirks import Quirks
from lcm_pipeline.simulator.requests import Request
from lcm_pipeline.simulator.world import World

_INFORMATION = "Данные предоставлены за весь период участия"
_DATES = frozenset(
    ("RegDate", "Proctime", "ActiveDate", "ExpiryDate", "ProcTime", "ConfirmDateEnd",
     "ProcTimeConfirm", "ActionDateEnd")
)  # fmt: skip
_UNDOCUMENTED: Row = {"LoyaltyLevel": "Золотой", "PointsForecast": kopecks(1234), "SegmentId": 7}
_POS_NAMES = {point.code: point.name for point in POINTS_OF_SALE}


class RefusedError(Exception):
    """The service refuses a request with an ErrorCode and a Message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Desk:
    """Responds to requests. The quirks may be replaced at any time."""

    world: World
    quirks: Quirks
    chance: Random = field(default_factory=lambda: Random(0))

    def respond(self, endpoint: Endpoint, request: Request) -> Fields:
        """The response to one request; a refusal is a response too."""
        handler = _HANDLERS.get(endpoint.name, Desk.rows)
        try:
            fields = response_of(endpoint, handler(self, endpoint, request))
        except RefusedError as refusal:
            return response_of(endpoint, {"ErrorCode": refusal.code, "Message": refusal.message})
        if self.quirks.informational_message and fields["Message"] is None:
            fields["Message"] = _INFORMATION
        if self.quirks.offset_dates == "none" and not self.quirks.extra_fields:
            return fields
        return {
            name: [_served(row, self.quirks) for row in content]
            if isinstance(content, list)
            else content
            for name, content in fields.items()
        }

    def _customer(self, endpoint: Endpoint, request: Request) -> Customer:
        programme = self.world.programme
        found = None
        if "Client" in request:
            found = programme.customers.get(request["Client"])
        elif "Card" in request:
            found = programme.by_card.get(request["Card"])
        elif "Phone" in request:
            found = programme.by_phone.get(request["Phone"])
        if found is None:
            raise RefusedError(endpoint.unknown_client, "Участник не найден")
        return found

    def _page(self, entries: Sequence[Entry], request: Request) -> Slice:
        return cut(
            entries,
            start=request.get("Start"),
            length=request.get("Length"),
            quirks=self.quirks,
            chance=self.chance,
        )

    def registrations(self, endpoint: Endpoint, request: Request) -> Fields:
        entries = matching_registrations(self.world.programme, request, self.quirks)
        everything = Quirks(tie_order=self.quirks.tie_order, oldest_first=self.quirks.oldest_first)
        # ClientInfoPeriod has no pages: every row is returned, in the order of the quirks.
        page = cut(entries, start=1, length=len(entries) + 1, quirks=everything, chance=self.chance)
        return {"Clients": page.rows}

    def operations(self, endpoint: Endpoint, request: Request) -> Fields:
        customer = self._customer(endpoint, request)
        wanted = _operation_filters(request)
        entries = customer.operations.newest_first()
        if wanted:
            entries = [entry for entry in entries if all(fits(entry.row) for fits in wanted)]
        page = self._page(entries, request)
        card = request.get("Card", customer.cards[0] if customer.cards else None)
        return {
            "Client": customer.id,
            "Phone": customer.profile.Phone,
            "Card": card,
            "Rows": page.total,
            "Operations": page.rows,
        }

    def rows(self, endpoint: Endpoint, request: Request) -> Fields:
        """A page of the shelf within a period, for endpoints without a handler of their own."""
        customer = self._customer(endpoint, request)
        within = period_of(request, self.quirks)
        shelf = customer.shelves[endpoint.shelf or ""]
        page = self._page(within.of(shelf.newest_first()), request)
        return {
            "TotalRows": page.total,
            "TotalRowsSelect": page.selected,
            endpoint.rows or "": page.rows,
        }

    def favourites(self, endpoint: Endpoint, request: Request) -> Fields:
        customer = self._customer(endpoint, request)
        within = period_of(request, self.quirks)
        entries = within.of(customer.shelves["offers"].newest_first())
        offer_id = request.get("ClientFavoriteId")
        if offer_id is not None:
            entries = [entry for entry in entries if entry.row["Id"] == offer_id]
        if (good := request.get("ListDataId")) is not None:
            entries = [
                entry
                for entry in entries
                if any(row["ListDataId"] == good for row in customer.offer_of[entry].goods)
            ]
        page = self._page(entries, request)
        # The service lists the goods only if the request names one offer.
        goods_of = (
            page.entries if offer_id is not None or self.quirks.list_favourites_always else ()
        )
        numbers = favourites.statistics(customer, within.holds if within.bounded else None)
        return {
            **numbers,
            "TotalRows": page.total,
            "TotalRowsSelect": page.selected,
            "ClientFavorites": page.rows,
            "ListFavorites": [row for entry in goods_of for row in customer.offer_of[entry].goods],
            "GroupFavorites": list(customer.chosen.values()),
        }

    def update(self, endpoint: Endpoint, request: Request) -> Fields:
        customer = self._customer(endpoint, {"Client": request.get("Client")})
        requested = {name: request[name] for name in endpoint.fields if name in request}
        code, message = self.world.profiles.update(customer, requested)
        return {"ErrorCode": code, "Message": message}


def _served(row: Row, quirks: Quirks) -> Row:
    """The row with the quirks; the world's own row is never modified."""
    served: Row = dict(row)
    if quirks.offset_dates != "none":
        zone = quirks.offset_dates
        dates = {n: value for n, value in row.items() if n in _DATES and isinstance(value, str)}
        served |= {name: with_offset(value, zone) for name, value in dates.items()}
    return {**served, **_UNDOCUMENTED} if quirks.extra_fields else served


def _operation_filters(request: Request) -> list[Callable[[Row], bool]]:
    """The filters of a request; a row has to match all of them."""
    filters: list[Callable[[Row], bool]] = []
    if request.get("Bonus"):
        filters.append(lambda row: _type(row) == BONUS and row.get("BonusSource") != PURCHASE)
    if request.get("Cheque"):
        filters.append(lambda row: _type(row) == CHEQUE)
    if "OrderId" in request:
        filters.append(
            lambda row: _type(row) == CHEQUE and row.get("OrderId") == request["OrderId"]
        )
    if "PosCode" in request:
        name = _POS_NAMES.get(request["PosCode"], request["PosCode"])
        filters.append(lambda row: row.get("PosName") == name)
    if "Partner" in request:
        points = {point.id for point in POINTS_OF_SALE if point.partner == request["Partner"]}
        filters.append(lambda row: row.get("Pos") in points)
    return filters


def _type(row: Row) -> object:
    return row.get("ComponentType")


_HANDLERS: dict[str, Callable[[Desk, Endpoint, Request], Fields]] = {
    "ClientInfoPeriod": Desk.registrations,
    "OperationHistory": Desk.operations,
    "ClientFavoriteDataInfo": Desk.favourites,
    "ClientUpdate": Desk.update,
}
