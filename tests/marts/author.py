"""Clients and rows that a test writes into a simulated programme by hand."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from lcm_pipeline.simulator.bonuses import BONUS, CHEQUE, ORDER, operation_row
from lcm_pipeline.simulator.customers import Customer, Entry, Offer
from lcm_pipeline.simulator.moments import ticks_of
from lcm_pipeline.simulator.people import invent_profile
from lcm_pipeline.simulator.server import RunningSimulator

COFFEE, CHEMIST = 101, 204
_PARTNERS = {COFFEE: 'Кофейни "Зерно & Молоко"', CHEMIST: "Аптеки «Будь здоров»"}
STORES = {COFFEE: "Невский проспект, 28", CHEMIST: "Тверская & Ко"}


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
                "RegPosName": STORES[COFFEE], "RegDate": registered, **fields,
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
            Amount=_money(amount), **{"Refund": False, **store_fields(COFFEE), **fields},
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


def store_fields(pos_id: int) -> dict[str, Any]:
    """The fields of a row that name its store."""
    return {"Pos": pos_id, "PosName": STORES[pos_id], "PartnerName": _PARTNERS[pos_id]}


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _ticks(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return ticks_of(datetime.fromisoformat(seconds)) + int((fraction or "0").ljust(7, "0"))
