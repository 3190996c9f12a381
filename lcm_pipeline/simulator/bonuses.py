"""Lots of points: granted, activated on ActiveDate, spent, expired on ExpiryDate.

A lot changes `Active` and `Remain` in place, without a new row and without `Rows` moving.
"""

from decimal import Decimal

from lcm_pipeline.simulator.catalogue import BONUS_SOURCES, BURNT, GIFT_SOURCES, PURCHASE, WELCOME
from lcm_pipeline.simulator.customers import Customer, Entry, Shelf
from lcm_pipeline.simulator.fields import Row, Value
from lcm_pipeline.simulator.moments import DAY, UNSET, text_of
from lcm_pipeline.simulator.programme import Programme, kopecks

BONUS, CHEQUE, ORDER = 1, 2, 3
OPERATION_FIELDS = (
    "Id",
    "Pos",
    "BonusId",
    "ChequeId",
    "PartnerName",
    "PosName",
    "Amount",
    "Added",
    "Redeemed",
    "Refund",
    "Proctime",
    "Discount",
    "SertRedeemed",
    "CouponNumber",
    "BonusSourceName",
    "ComponentType",
    "BonusSource",
    "ChequeNumber",
    "Active",
    "ActiveDate",
    "ExpiryDate",
    "Remain",
    "Parent",
    "OrderId",
)
_BLANK: Row = dict.fromkeys(OPERATION_FIELDS)


def operation_row(**known: Value) -> Row:
    """An operation in the vendor's order; fields that are not given are null."""
    return {**_BLANK, **known}


def grant(
    programme: Programme,
    customer: Customer,
    moment: int,
    *,
    source: int,
    cheque: Row | None = None,
) -> Entry:
    """Grant a lot of points, for a cheque or as a gift, and plan its activation and expiry."""
    chance = programme.chance
    wait = int(chance.random() * 14) * DAY if programme.happens(0.6) else 0
    starts = moment + wait
    ends = None if programme.happens(0.05) else starts + chance.choice((5, 10, 90, 180)) * DAY
    row = _lot_row(programme, moment, source=source, cheque=cheque)
    row["Active"] = starts <= programme.agenda.now
    row["ActiveDate"] = text_of(starts)
    if ends is not None:
        row["ExpiryDate"] = text_of(ends)
    lot = programme.place(customer.operations, row, moment)
    customer.lots.append(lot)
    programme.move_points("added", moment, points_of(lot), lot)
    if starts > programme.agenda.now:
        programme.agenda.at(starts, _activate, lot)
    if ends is not None:
        programme.agenda.at(ends, _expire, programme, lot, ends)
    if programme.applies(programme.habits.conventions.blocked):
        programme.agenda.at(starts + DAY, _block, lot)
    return lot


def grant_unseen(programme: Programme, customer: Customer, moment: int, cheque: Row) -> Entry:
    """Grant a lot without a bonus row; its points are active at once and never expire."""
    row = _lot_row(programme, moment, source=PURCHASE, cheque=cheque)
    row["Active"] = True
    lot = programme.place(Shelf(), row, moment)
    customer.lots.append(lot)
    programme.move_points("added", moment, points_of(lot), lot)
    return lot


def _lot_row(programme: Programme, moment: int, *, source: int, cheque: Row | None) -> Row:
    """The row of a lot, without its expiry; many lots of purchases have the Id of their cheque."""
    origin: Row = cheque or {"Id": None, "Pos": None, "PartnerName": None, "PosName": ""}
    collides = source == PURCHASE and programme.happens(0.6)
    number = origin["Id"] if collides else next(programme.ids["others"])
    amount = cheque["Amount"] if cheque else None
    if isinstance(amount, Decimal):
        added = (amount / 20).quantize(Decimal("0.01"))
    else:
        added = programme.money(10, 500)
    return operation_row(
        Id=number,
        BonusId=number,
        ChequeId=origin["Id"],
        Pos=origin["Pos"],
        PosName=origin["PosName"],
        PartnerName=origin["PartnerName"],
        Added=added,
        Redeemed=programme.perhaps(kopecks(0)),
        Refund=programme.perhaps(False),
        Proctime=text_of(moment),
        ComponentType=BONUS,
        BonusSource=source,
        BonusSourceName=programme.perhaps(BONUS_SOURCES[source]),
        ExpiryDate=UNSET if programme.happens(0.5) else None,
        Remain=added,
    )


def points_of(lot: Entry) -> Decimal:
    """How many points a lot was granted with."""
    added = lot.row["Added"]
    return added if isinstance(added, Decimal) else kopecks(0)


def _activate(lot: Entry) -> None:
    if lot.shelf is not None:
        lot.row["Active"] = True


def _block(lot: Entry) -> None:
    """Block the rest of a lot: it cannot be spent, but is owed until it expires."""
    if lot.shelf is not None:
        lot.row["Active"] = False


def _expire(programme: Programme, lot: Entry, moment: int) -> None:
    """Expire a lot; by default, about half of the burns have a row of their own."""
    left = lot.row["Remain"]
    if lot.shelf is None or not isinstance(left, Decimal):
        return
    lot.row["Active"] = False
    lot.row["Remain"] = kopecks(0)
    programme.move_points("expired", moment, -left, lot)
    way = programme.habits.conventions.burns
    if left > 0 and (programme.happens(0.5) if way == "sometimes" else way != "never"):
        number = next(programme.ids["others"])
        row = operation_row(
            Id=number,
            BonusId=number,
            Added=None if way == "redeemed" else left if way == "positive_added" else -left,
            Redeemed=left if way == "redeemed" else None,
            Proctime=text_of(moment),
            ComponentType=BONUS,
            BonusSource=BURNT,
            BonusSourceName=BONUS_SOURCES[BURNT],
            Parent=lot.row["Id"],
        )
        programme.place(lot.shelf, row, moment)


def spend(
    programme: Programme, customer: Customer, wish: Decimal, moment: int, cheque: Value
) -> Decimal:
    """Spend up to `wish` points of active lots, in the programme's order; returns how many."""
    taken = kopecks(0)
    lots = customer.lots
    match programme.habits.conventions.spending:
        case "newest_first":
            lots = lots[::-1]
        case "soonest_first":
            lots = sorted(lots, key=_expiry_of)
    for lot in lots:
        left = lot.row["Remain"]
        if taken >= wish:
            break
        if lot.shelf is not None and lot.row["Active"] and isinstance(left, Decimal) and left > 0:
            part = min(left, wish - taken)
            lot.row["Remain"] = left - part
            programme.move_points("redeemed", moment, -part, lot, cheque)
            taken += part
    return taken


def _expiry_of(lot: Entry) -> str:
    ends = lot.row["ExpiryDate"]
    return ends if isinstance(ends, str) and ends != UNSET else "9999"


def give_back(programme: Programme, cheque: Value, share: Decimal, moment: int) -> Decimal:
    """Give a share of the points that a cheque redeemed back to active lots; returns how many."""
    returned = kopecks(0)
    for flow in programme.flows_of_cheque[cheque]:
        if flow.kind != "redeemed":
            continue
        left, part = flow.lot.row["Remain"], (-flow.points * share).quantize(Decimal("0.01"))
        if flow.lot.shelf is not None and flow.lot.row["Active"] and isinstance(left, Decimal):
            flow.lot.row["Remain"] = left + part
            programme.move_points("redeemed", moment, part, flow.lot)
            returned += part
    return returned


def welcome(programme: Programme, customer: Customer, moment: int) -> None:
    """Grant a new client the welcome points."""
    grant(programme, customer, moment, source=WELCOME)


def give_promotions(programme: Programme, moment: int) -> None:
    """Grant gifts to many clients at one moment, to some of them twice."""
    for drawn in programme.some_of(programme.habits.promotions_daily):
        for _ in range(2 if programme.happens(0.3) else 1):
            source = programme.chance.choice(GIFT_SOURCES)
            grant(programme, drawn.present(), moment, source=source)
