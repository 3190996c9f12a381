"""Visits: a cheque, its points, sometimes an order; later perhaps a refund or a cancellation.

A cancelled cheque is deleted together with its bonuses. A refund is a separate cheque, with either
sign. A late visit becomes visible a day or two after its Proctime.
"""

from decimal import Decimal
from typing import NamedTuple

from lcm_pipeline.simulator import bonuses
from lcm_pipeline.simulator.bad_rows import spoil_sometimes
from lcm_pipeline.simulator.bonuses import BONUS, CHEQUE, ORDER, operation_row
from lcm_pipeline.simulator.catalogue import FRIENDS_PURCHASE, POINTS_OF_SALE, PURCHASE, PointOfSale
from lcm_pipeline.simulator.customers import Customer, Entry
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.moments import DAY, MINUTE, UNSET, moment_within, text_of
from lcm_pipeline.simulator.programme import Programme, kopecks

# The mean of a visit: a cheque, its bonuses, sometimes an order.
_ROWS_PER_VISIT = 2.1


class Purchase(NamedTuple):
    """A cheque with the bonuses that were given for it."""

    cheque: Entry
    bonuses: tuple[Entry, ...]


def plan_visits(programme: Programme, customer: Customer, until: int) -> None:
    """Plan the visits of a new client until a moment: mostly 5 to 30 rows, many for a few."""
    span = until - customer.registered
    if span <= 0:
        return
    visits = int(_draw_row_count(programme, heavy=customer.heavy) / _ROWS_PER_VISIT + 0.5)
    earlier = customer.registered
    for _ in range(visits):
        if not programme.happens(programme.habits.tied):
            day = customer.registered + int(programme.chance.random() * span)
            earlier = moment_within(programme.chance, day - day % DAY)
        moment = min(max(earlier, customer.registered), until)
        plan_visit(programme, customer, moment)


def _draw_row_count(programme: Programme, *, heavy: bool) -> int:
    chance = programme.chance
    draw = chance.random()
    if heavy:
        return int(programme.habits.heavy_operations * 1.15)
    if draw < 0.1:
        return chance.randint(0, 4)
    if draw < 0.95:
        return 5 + int(25 * chance.random() ** 2)
    return chance.randint(31, 80) if draw < 0.99 else chance.randint(100, 300)


def plan_visit(programme: Programme, customer: Customer, moment: int) -> None:
    """Plan one visit; a late one becomes visible a day or two after it happened."""
    late = programme.happens(programme.habits.late)
    seen = moment + DAY + int(programme.chance.random() * DAY) if late else moment
    programme.agenda.at(seen, make_purchase, programme, customer, moment)


def make_purchase(programme: Programme, customer: Customer, moment: int) -> Purchase:
    """Carry out a visit: add the rows of its cheque, its order and its bonuses."""
    # The client may have been merged into another one since the visit was planned.
    customer = customer.present()
    point = programme.chance.choice(POINTS_OF_SALE)
    cheque = _cheque_row(programme, customer, point, moment)
    redemption_rows = _move_redemption_to_bonus(programme, customer, cheque, moment)
    if programme.happens(0.15):
        _add_order(programme, customer, cheque, moment)
    entry = programme.place(customer.operations, cheque, moment)
    given: tuple[Entry, ...]
    if programme.applies(programme.habits.conventions.cheque_points):
        given = (bonuses.grant_unseen(programme, customer, moment, cheque),)
    else:
        sources = (PURCHASE,) * int(programme.happens(0.8)) + (2,) * int(programme.happens(0.12))
        given = tuple(
            bonuses.grant(programme, customer, moment, source=source, cheque=cheque)
            for source in sources
        )
    cheque["Added"] = sum((bonuses.points_of(lot) for lot in given), kopecks(0))
    purchase = Purchase(entry, (*given, *redemption_rows))
    if programme.applies(programme.habits.conventions.friend_bonuses):
        friend = programme.chance.choice(list(programme.customers.values())).present()
        if friend is not customer:
            bonuses.grant(programme, friend, moment, source=FRIENDS_PURCHASE, cheque=cheque)
    _plan_reversal(programme, customer, purchase)
    spoil_sometimes(programme, customer.operations, entry)
    return purchase


def _cheque_row(programme: Programme, customer: Customer, point: PointOfSale, moment: int) -> Row:
    chance = programme.chance
    number = next(programme.ids["cheques"])
    amount = programme.money(90, 6000)
    spends = programme.happens(0.25)
    redeemed = (
        bonuses.spend(programme, customer, (amount / 3).quantize(Decimal("0.01")), moment, number)
        if spends
        else kopecks(0)
    )
    return operation_row(
        Id=number,
        ChequeId=number,
        Pos=programme.perhaps(point.id),
        PosName=programme.perhaps(point.name),
        PartnerName=programme.perhaps(point.partner_name),
        Amount=amount,
        Redeemed=redeemed,
        Refund=programme.perhaps(False),
        Proctime=text_of(moment),
        Discount=programme.money(1, 90)
        if programme.happens(0.2)
        else programme.perhaps(kopecks(0)),
        SertRedeemed=programme.money(100, 500) if programme.happens(0.03) else None,
        CouponNumber=f"CPN-{chance.randrange(10**6):06}" if programme.happens(0.1) else "",
        ComponentType=CHEQUE,
        ChequeNumber=programme.perhaps(f"{point.code}/{number % 10_000:04}"),
        ActiveDate=UNSET if programme.happens(0.1) else None,
    )


def _move_redemption_to_bonus(
    programme: Programme, customer: Customer, cheque: Row, moment: int
) -> list[Entry]:
    """Sometimes move the redeemed points from the cheque to a bonus row, which is returned."""
    redeemed = cheque["Redeemed"]
    share = programme.habits.conventions.bonus_redemptions
    if not redeemed or not programme.applies(share):
        return []
    cheque["Redeemed"] = None
    number = next(programme.ids["others"])
    row = operation_row(
        **{key: cheque[key] for key in ("Pos", "PosName", "PartnerName", "ChequeId")},
        Id=number,
        BonusId=number,
        Redeemed=redeemed,
        Proctime=text_of(moment),
        ComponentType=BONUS,
    )
    return [programme.place(customer.operations, row, moment)]


def _add_order(programme: Programme, customer: Customer, cheque: Row, moment: int) -> None:
    number = cheque["Id"] if programme.happens(0.5) else next(programme.ids["others"])
    cheque["OrderId"] = number
    ordered = moment if programme.happens(0.5) else max(moment - 30 * MINUTE, customer.registered)
    row = operation_row(
        Id=number,
        OrderId=number,
        Amount=cheque["Amount"],
        Proctime=text_of(ordered),
        ComponentType=ORDER,
        PosName=cheque["PosName"],
        Pos=cheque["Pos"],
    )
    programme.place(customer.operations, row, ordered)


def _plan_reversal(programme: Programme, customer: Customer, purchase: Purchase) -> None:
    habits = programme.habits
    later = programme.agenda.now + int((0.2 + 5 * programme.chance.random()) * DAY)
    if programme.happens(habits.cancelled):
        programme.agenda.at(later, cancel, programme, purchase)
    elif programme.happens(habits.refunded):
        programme.agenda.at(later, refund, programme, customer, purchase, later)


def cancel(programme: Programme, purchase: Purchase) -> None:
    """Delete a cheque and its bonuses, and correct the movements that came from them."""
    for entry in (purchase.cheque, *purchase.bonuses):
        if entry.shelf is not None:
            entry.shelf.remove(entry)
    # Movements whose rows were deleted become corrections, of what they left behind.
    for flow in programme.flows_of_cheque[purchase.cheque.row["Id"]]:
        if flow.kind == "redeemed":
            flow.kind = "corrected"
    for lot in purchase.bonuses:
        for flow in programme.flows_of_lot[lot]:
            if flow.kind == "added":
                left = lot.row["Remain"]
                flow.points -= left if isinstance(left, Decimal) else kopecks(0)
                flow.kind = "corrected"


def insert_cheque(programme: Programme, customer: Customer, moment: int) -> Entry:
    """Add a cheque without points that is never refunded or cancelled."""
    number = next(programme.ids["cheques"])
    point = programme.chance.choice(POINTS_OF_SALE)
    row = operation_row(
        Id=number,
        ChequeId=number,
        Pos=point.id,
        PosName=point.name,
        PartnerName=point.partner_name,
        Amount=programme.money(100, 900),
        Refund=False,
        Proctime=text_of(moment),
        ComponentType=CHEQUE,
    )
    return programme.place(customer.operations, row, moment)


def toggle_active(row: Row) -> None:
    """Change an operation in place."""
    row["Active"] = not row["Active"]


def refund(programme: Programme, customer: Customer, purchase: Purchase, moment: int) -> None:
    """Refund a purchase by a separate cheque, and take the points back from its lots."""
    original = purchase.cheque
    amount = original.row["Amount"]
    if original.shelf is None or not isinstance(amount, Decimal):
        return
    ways = programme.habits.conventions
    share = Decimal("0.4") if programme.applies(ways.partial_refunds) else Decimal(1)
    taken = kopecks(0)
    for lot in purchase.bonuses:
        left = lot.row["Remain"]
        if isinstance(left, Decimal) and lot.shelf is not None:
            part = min(left, (bonuses.points_of(lot) * share).quantize(Decimal("0.01")))
            lot.row["Remain"] = left - part
            programme.move_points("clawed_back", moment, -part, lot)
            taken += part
    returned = kopecks(0)
    if ways.refund_gives_back:
        returned = bonuses.give_back(programme, original.row["Id"], share, moment)
    sign = {"silent": None, "negative": -1, "positive": 1}[ways.refund_points]
    amount = (amount * share).quantize(Decimal("0.01"))
    number = next(programme.ids["cheques"])
    negative = programme.happens(0.5)
    flagged = not programme.applies(ways.refunds_without_flag)
    row = operation_row(
        **{key: original.row[key] for key in ("Pos", "PosName", "PartnerName", "OrderId")},
        Id=number,
        ChequeId=number,
        Amount=-amount if negative or not flagged else amount,
        Added=kopecks(0) if sign is None else sign * taken,
        Redeemed=None if sign is None else sign * returned,
        Refund=True if flagged else None,
        Proctime=text_of(moment),
        ComponentType=CHEQUE,
        ChequeNumber=f"R/{number % 10_000:04}",
        Parent=None if programme.applies(ways.refunds_without_parent) else original.row["Id"],
    )
    programme.place(customer.present().operations, row, moment)
