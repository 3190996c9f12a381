"""Programmes for the tests of the marts: one of hand-made edge cases, and a random one.

They run in the simulator and are synced over HTTP into a warehouse of their own, so that a golden
answer can be computed from the data of the simulator.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.bonuses import BONUS, CHEQUE, ORDER, operation_row
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.customers import Customer, Entry, Offer
from lcm_pipeline.simulator.moments import ticks_of
from lcm_pipeline.simulator.people import invent_profile
from lcm_pipeline.simulator.server import RunningSimulator, start_in_thread
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.marts.golden import Golden
from tests.syncing import sync_everything

QUIET = tuple(
    f"{habit}=0"
    for habit in (
        "visits_daily", "promotions_daily", "leads_daily", "offers_daily", "merged_daily",
        "card_changes_daily",
    )
)  # fmt: skip
COFFEE, CHEMIST = 101, 204
_PARTNERS = {COFFEE: 'Кофейни "Зерно & Молоко"', CHEMIST: "Аптеки «Будь здоров»"}
_STORES = {COFFEE: "Невский проспект, 28", CHEMIST: "Тверская & Ко"}


@dataclass(frozen=True)
class Synced:
    """A programme, the warehouse that it was synced into, and the last day synced."""

    simulator: RunningSimulator
    warehouse: Warehouse
    first: date
    last: date

    @property
    def truth(self) -> dict[str, list[dict[str, Any]]]:
        """All data of the programme."""
        return self.simulator.world.truth()

    @property
    def golden(self) -> Golden:
        """The expected contents of the marts."""
        return Golden(self.truth, self.last, self.simulator.world.programme.flows)


@contextmanager
def random_world(warehouse: Warehouse, home: Path) -> Iterator[Synced]:
    """Three months of a programme in which no cheque is cancelled without a trace."""
    config = build_config(
        start=date(2026, 1, 10), now=datetime(2026, 3, 31), clients=220, seed=11,
        habits=("cancelled=0", "merged_daily=0", "nulls=0.06", "late=0"),
    )  # fmt: skip
    with start_in_thread(config) as simulator:
        first, last = config.start, date(2026, 3, 30)
        sync(simulator, warehouse, home, first, last)
        yield Synced(simulator, warehouse, first, last)


@contextmanager
def empty_world(start: date, now: datetime) -> Iterator[RunningSimulator]:
    """A programme without clients, in which nothing happens by itself."""
    config = build_config(start=start, now=now, clients=0, habits=QUIET)
    with start_in_thread(config) as simulator:
        yield simulator


def sync(
    simulator: RunningSimulator, warehouse: Warehouse, home: Path, first: date, last: date
) -> None:
    """Sync all feeds, check that all of them are complete, and refresh the marts."""
    sync_facts(simulator, warehouse, home, first, last)
    refresh_marts(warehouse)


def sync_facts(
    simulator: RunningSimulator, warehouse: Warehouse, home: Path, first: date, last: date
) -> None:
    """Sync all feeds, and check that all of them are complete; the marts stay as they are."""
    settings = load_settings(
        home=home, api_url=simulator.url, database_url=warehouse.url, delete_fuse=1
    )
    reports = sync_everything(settings, warehouse, Window(first, last))
    assert all(report.is_complete for report in reports.values())


def edit(warehouse: Warehouse, *statements: str) -> None:
    """Execute statements, as for mart.parameters, and refresh the marts."""
    with warehouse.connect(autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())
    refresh_marts(warehouse)


class Author:
    """Writes clients and their rows into a programme by hand. Moments are naive Moscow text."""

    def __init__(self, simulator: RunningSimulator) -> None:
        self._programme = simulator.world.programme

    def client(self, number: int, registered: str, cards: list[dict[str, Any]]) -> Customer:
        """A client with some cards."""
        programme, moment = self._programme, _ticks(registered)
        phone = 9_000_000_000 + number
        customer = Customer(number, moment, invent_profile(programme.chance, number, phone), [])
        programme.customers[number] = customer
        for fields in cards:
            row = {
                "Client": number, "Card": 0, "OutNumber": None, "Virtual": False,
                "Card_Type": "Пластиковая", "Card_Status": "Активна", "RegPos": COFFEE,
                "RegPosName": _STORES[COFFEE], "RegDate": registered, **fields,
            }  # fmt: skip
            customer.cards.append(row["Card"])
            programme.by_card[row["Card"]] = customer
            customer.registrations.append(programme.place(programme.registrations, row, moment))
        return customer

    def cheque(
        self, customer: Customer, number: int, moment: str, amount: str | None, **fields: Any
    ) -> Entry:
        """A cheque; at the default store unless the fields give another one."""
        return self._operation(
            customer, moment, number, ComponentType=CHEQUE, ChequeId=number,
            Amount=_money(amount), **{"Refund": False, **_store(COFFEE), **fields},
        )  # fmt: skip

    def lot(
        self,
        customer: Customer,
        number: int,
        moment: str,
        points: str,
        *,
        starts: str | None = None,
        ends: str | None = None,
        **fields: Any,
    ) -> Entry:
        """A bonus row with points; with positive points it is a lot, and recorded as added."""
        given = {
            "Added": _money(points), "Remain": _money(points), "Active": True, "BonusSource": 1,
            "ActiveDate": starts, "ExpiryDate": ends, **fields,
        }  # fmt: skip
        entry = self._operation(
            customer, moment, number, ComponentType=BONUS, BonusId=number, **given
        )
        if given["Added"] and given["Added"] > 0:
            self._programme.move_points("added", _ticks(moment), given["Added"], entry)
        return entry

    def moves(self, kind: str, moment: str, points: str, lot: Entry) -> None:
        """Record what really happened to a lot."""
        self._programme.move_points(kind, _ticks(moment), Decimal(points), lot)

    def order(self, customer: Customer, number: int, moment: str, amount: str) -> Entry:
        """An order row."""
        return self._operation(
            customer, moment, number, ComponentType=ORDER, OrderId=number, Amount=_money(amount)
        )

    def lead(self, customer: Customer, number: int, moment: str, **fields: Any) -> Entry:
        """A lead; new unless the fields give another status."""
        row = {
            "Id": 1, "Leads": number, "ProcTime": moment, "LeadSourceName": "Сайт",
            "LeadStatusName": "Новое", "LeadTypeName": "Жалоба", "FormName": "Обратная связь",
            "Subject": "Возврат", "LeadMarkName": None, "CountNotReadMessage": 0, **fields,
        }  # fmt: skip
        return self._programme.place(customer.shelves["leads"], row, _ticks(moment))

    def offer(
        self, customer: Customer, number: int, moment: str, goods: list[int], **fields: Any
    ) -> Entry:
        """An offer of favourites that lists some goods."""
        row = {
            "Id": number, "ProcTime": moment, "ConfirmDateEnd": None, "Confirm": False,
            "ProcTimeConfirm": None, "ActionDateEnd": None, "NoActive": False, **fields,
        }  # fmt: skip
        entry = self._programme.place(customer.shelves["offers"], row, _ticks(moment))
        listed = [
            {"Id": 10 * number + place, "ListDataId": good, "UrlImage": None,
             "Name": f"good {good}", "Code": f"G{good}", "NoActive": False}
            for place, good in enumerate(goods)
        ]  # fmt: skip
        confirmed = row["ProcTimeConfirm"]
        customer.offer_of[entry] = Offer(
            entry, listed, _ticks(confirmed) if confirmed else None,
            _ticks(row["ActionDateEnd"]) if row["ActionDateEnd"] else None,
        )  # fmt: skip
        return entry

    def choose(self, customer: Customer, good: int, times: int = 1) -> None:
        """Let the client choose a good."""
        customer.chosen[good] = {"Id": good, "Name": f"good {good}", "CountSelect": times}

    def _operation(self, customer: Customer, moment: str, number: int, **fields: Any) -> Entry:
        row = operation_row(Id=number, Proctime=moment, **fields)
        return self._programme.place(customer.operations, row, _ticks(moment))


def write_hard_edges(author: Author) -> None:
    """Write the cases that a mart can get wrong, in a programme at the end of 2026-03-10."""
    two_cards = author.client(
        1001, "2026-01-31T23:59:59.9999999",
        [{"Card": 770000000000000001, "RegPos": None},
         {"Card": 770000000000000002, "Virtual": True, "Card_Type": "Виртуальная"}],
    )  # fmt: skip
    midnight = author.client(
        1002, "2026-02-01T00:00:00", [{"Card": 770000000000000003, "Virtual": True}]
    )
    twin = author.client(1003, "2026-02-14T12:00:00", [{"Card": 770000000000000004}])
    other_twin = author.client(
        1004, "2026-02-14T12:00:00",
        [{"Card": 770000000000000005, "RegPos": CHEMIST, "RegPosName": _STORES[CHEMIST],
          "Card_Status": "Заблокирована"}],
    )  # fmt: skip
    author.client(1005, "2026-03-10T23:59:59", [{"Card": 770000000000000006}])
    _write_points(author, two_cards, midnight)
    _write_twins(author, twin, other_twin)
    _write_favourites(author, two_cards, midnight)
    _write_leads(author, two_cards, midnight)


def _write_points(author: Author, two_cards: Customer, midnight: Customer) -> None:
    # The last tick of February, with an order of the same number and a bonus that repeats the sum.
    author.cheque(two_cards, 501, "2026-02-28T23:59:59.9999999", "1000.00", Added=Decimal("50.00"),
                  OrderId=501, Discount=Decimal("20.50"), CouponNumber="C-1")  # fmt: skip
    author.order(two_cards, 501, "2026-02-28T23:29:59", "1000.00")
    # Expires without a row at noon of the last day; 30 of the 50 points were redeemed.
    spent = author.lot(two_cards, 501, "2026-02-28T23:59:59.9999999", "50.00", ChequeId=501,
               Amount=Decimal("1000.00"), starts="2026-03-01T00:00:00", ends="2026-03-10T12:00:00",
               Remain=Decimal("0.00"), Active=False, **_store(COFFEE))  # fmt: skip
    author.moves("redeemed", "2026-03-01T00:00:00", "-30.00", spent)
    author.moves("expired", "2026-03-10T12:00:00", "-20.00", spent)
    author.cheque(two_cards, 502, "2026-03-01T00:00:00", "300.10", Redeemed=Decimal("30.00"),
                  SertRedeemed=Decimal("100.00"), **_store(CHEMIST))  # fmt: skip
    # A lot that expired with a row, and points that start in the future or never end.
    burnt = author.lot(two_cards, 601, "2026-02-10T10:00:00", "15.00", BonusSource=4,
               starts="2026-02-10T10:00:00", ends="2026-03-05T00:00:00", Remain=Decimal("0.00"),
               Active=False)  # fmt: skip
    author.moves("expired", "2026-03-05T00:00:00", "-15.00", burnt)
    author.lot(two_cards, 602, "2026-03-05T00:00:00", "-15.00", BonusSource=7, Parent=601,
               Remain=None, Active=None)  # fmt: skip
    author.lot(two_cards, 603, "2026-03-10T23:59:59.9999999", "12.34", BonusSource=2,
               starts="2026-03-11T00:00:00", ends="2026-03-11T00:00:00", Active=False)  # fmt: skip
    author.lot(two_cards, 604, "2026-03-09T08:00:00", "7.00", BonusSource=12)
    # An operator takes points away.
    taken = author.lot(midnight, 605, "2026-02-02T08:00:00", "100.00", BonusSource=3,
               ends="2026-04-09T23:59:59", Remain=Decimal("60.00"))  # fmt: skip
    author.moves("corrected", "2026-02-03T08:00:00", "-40.00", taken)
    author.lot(midnight, 606, "2026-02-03T08:00:00", "-40.00", BonusSource=3, Remain=None)
    # Refunds of either sign; the first claws points back.
    author.cheque(midnight, 503, "2026-02-20T10:00:00", "800.00", Refund=None)
    clawed = author.lot(midnight, 503, "2026-02-20T10:00:00", "40.00", ChequeId=503,
                        Remain=Decimal("0.00"), ends="2026-08-20T10:00:00",
                        **_store(COFFEE))  # fmt: skip
    author.moves("clawed_back", "2026-03-02T10:00:00", "-40.00", clawed)
    author.cheque(midnight, 504, "2026-03-02T10:00:00", "-800.00", Refund=True, Parent=503)
    author.cheque(midnight, 505, "2026-03-02T11:00:00", "250.00", **_store(CHEMIST))
    author.cheque(midnight, 506, "2026-03-03T11:00:00", "250.00", Refund=True, Parent=505,
                  **_store(CHEMIST))  # fmt: skip
    # A cheque without a row of its own: only its bonus has its number.
    author.lot(midnight, 607, "2026-03-04T11:00:00", "5.00", ChequeId=507, Active=False)


def _write_twins(author: Author, twin: Customer, other_twin: Customer) -> None:
    """Write two clients that differ only in the numbers of their cheques."""
    for number, customer in ((510, twin), (520, other_twin)):
        author.cheque(customer, number, "2026-02-14T13:00:00", "500.00")
        author.cheque(customer, number + 1, "2026-03-06T13:00:00", "500.00")


def _write_favourites(author: Author, two_cards: Customer, midnight: Customer) -> None:
    author.offer(two_cards, 71, "2026-02-27T10:00:00", [5000, 5007], Confirm=True,
                 ConfirmDateEnd="2026-03-02T00:00:00", ProcTimeConfirm="2026-03-01T00:30:00",
                 ActionDateEnd="2026-03-11T00:00:00")  # fmt: skip
    author.offer(midnight, 72, "2026-02-27T10:00:00", [5000], Confirm=True,
                 ConfirmDateEnd="2026-03-02T00:00:00", ProcTimeConfirm="2026-02-27T12:00:00",
                 ActionDateEnd="2026-03-06T00:00:00", NoActive=True)  # fmt: skip
    author.offer(midnight, 73, "2026-03-08T10:00:00", [5014], ConfirmDateEnd="2026-03-11T00:00:00")
    author.offer(midnight, 74, "2026-03-09T10:00:00", [5014], ConfirmDateEnd="2026-03-15T00:00:00")
    author.choose(two_cards, 5000)
    author.choose(midnight, 5000, 2)


def _write_leads(author: Author, two_cards: Customer, midnight: Customer) -> None:
    author.lead(two_cards, 41, "2026-03-01T00:00:00", LeadStatusName="Закрыто",
                LeadMarkName="Отлично")  # fmt: skip
    author.lead(two_cards, 42, "2026-03-09T23:59:59.9999999", CountNotReadMessage=3)
    author.lead(midnight, 43, "2026-03-09T23:59:59.9999999", LeadStatusName="", LeadMarkName="")
    author.lead(midnight, 44, "2026-03-10T12:00:00", LeadTypeName=None, CountNotReadMessage=None)


def _store(pos_id: int) -> dict[str, Any]:
    return {"Pos": pos_id, "PosName": _STORES[pos_id], "PartnerName": _PARTNERS[pos_id]}


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _ticks(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return ticks_of(datetime.fromisoformat(seconds)) + int((fraction or "0").ljust(7, "0"))
