"""Favourite products: offers, their goods, the chosen goods, and the statistics of a client.

An offer is made at ProcTime, can be confirmed until ConfirmDateEnd, and is in effect until
ActionDateEnd. Purchases while a confirmed offer is in effect count as purchases of the favourite.
"""

from collections.abc import Callable
from decimal import Decimal

from lcm_pipeline.simulator.bonuses import CHEQUE
from lcm_pipeline.simulator.catalogue import GOODS
from lcm_pipeline.simulator.customers import Customer, Offer
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.moments import DAY, UNSET, moment_within, text_of
from lcm_pipeline.simulator.programme import Programme, kopecks

_MAX_GOODS = 5
_PURCHASES_NEEDED = 3
_GAIN_NEEDED = kopecks(500_000)


def offer_some(programme: Programme, day: int) -> None:
    """Plan the offers of a day."""
    wanted = programme.some_of(programme.habits.offers_daily)
    wanted += [customer for customer in programme.customers.values() if customer.heavy]
    for customer in wanted:
        moment = moment_within(programme.chance, day)
        if moment >= customer.registered:
            for _ in range(2 if programme.happens(programme.habits.tied) else 1):
                programme.agenda.at(moment, offer, programme, customer, moment)


def offer(programme: Programme, customer: Customer, moment: int) -> Offer:
    """Offer goods to a client, and plan whether the offer is confirmed."""
    chance = programme.chance
    until = moment - moment % DAY + chance.randint(2, 7) * DAY
    row: Row = {
        "Id": next(programme.ids["offers"]),
        "ProcTime": text_of(moment),
        "ConfirmDateEnd": text_of(until),
        "Confirm": False if programme.happens(0.9) else None,
        "ProcTimeConfirm": UNSET if programme.happens(0.3) else None,
        "ActionDateEnd": None,
        "NoActive": False,
    }
    entry = programme.place(customer.shelves["offers"], row, moment)
    goods: list[Row] = [
        {
            "Id": next(programme.ids["goods"]),
            "ListDataId": good.list_data,
            "UrlImage": programme.perhaps(f"https://img.example.org/{good.code}.png?size=2&v=1"),
            "Name": programme.perhaps(good.name),
            "Code": programme.perhaps(good.code),
            "NoActive": programme.happens(0.1),
        }
        for good in chance.sample(GOODS, chance.randint(3, 8))
    ]
    made = Offer(entry, goods)
    customer.offer_of[entry] = made
    if programme.happens(0.6):
        confirmed = moment + int(chance.random() * (until - moment))
        programme.agenda.at(confirmed, confirm, programme, customer, made)
    else:
        programme.agenda.at(until, close, made)
    return made


def confirm(programme: Programme, customer: Customer, made: Offer) -> None:
    """Confirm an offer, and choose goods from it."""
    if made.entry.shelf is None:
        return
    made.confirmed = programme.agenda.now
    made.ends = made.confirmed - made.confirmed % DAY + programme.chance.choice((7, 14, 30)) * DAY
    made.entry.row["Confirm"] = True
    made.entry.row["ProcTimeConfirm"] = text_of(made.confirmed)
    made.entry.row["ActionDateEnd"] = text_of(made.ends)
    for good in programme.chance.sample(made.goods, programme.chance.randint(1, 3)):
        number = good["ListDataId"]
        if isinstance(number, int):
            choice = customer.chosen.setdefault(
                number, {"Id": number, "Name": good["Name"], "CountSelect": 0}
            )
            choice["CountSelect"] = int(str(choice["CountSelect"])) + 1
    programme.agenda.at(made.ends, close, made)


def toggle_active(row: Row) -> None:
    """Change an offer in place."""
    row["NoActive"] = not row["NoActive"]


def close(made: Offer) -> None:
    """End an offer that was not confirmed in time, or whose effect is over."""
    made.entry.row["NoActive"] = True
    for good in made.goods[::2]:
        good["NoActive"] = True


def statistics(customer: Customer, within: Callable[[int], bool] | None = None) -> Row:
    """The twelve statistics of a client's favourites, within a period or (None) of all time."""
    offers = [made for made in customer.offer_of.values() if made.entry.shelf is not None]
    working = sum(not made.entry.row["NoActive"] and made.confirmed is not None for made in offers)
    counted = [made for made in offers if within is None or within(made.entry.moment)]
    spent, favourite = _purchase_amounts(customer, offers, within)
    participates = bool(offers)
    linked = min(_MAX_GOODS, working)
    return {
        "MaxLinkGoods": _MAX_GOODS if participates else None,
        "NowLinkGoods": linked,
        "RemainLinkGoods": _MAX_GOODS - linked if participates else None,
        "RemainCountPurchases": max(0, _PURCHASES_NEEDED - len(spent)),
        "RemainGain": max(kopecks(0), _GAIN_NEEDED - sum(spent, kopecks(0))),
        "RemainEveryGain": kopecks(30_000) if participates else None,
        "CountOffer": len(counted),
        "CountConfirm": sum(made.confirmed is not None for made in counted),
        "CountPurchases": len(favourite),
        "SumGain": sum(favourite, kopecks(0)),
        "AvgFavorite": _average(favourite),
        "AvgAll": _average(spent),
    }


def _purchase_amounts(
    customer: Customer, offers: list[Offer], within: Callable[[int], bool] | None
) -> tuple[list[Decimal], list[Decimal]]:
    """The amounts of all purchases, and of those made while a confirmed offer was in effect."""
    windows = [(made.confirmed, made.ends) for made in offers if made.confirmed and made.ends]
    spent: list[Decimal] = []
    favourite: list[Decimal] = []
    for entry in customer.operations:
        amount, kind = entry.row.get("Amount"), entry.row.get("ComponentType")
        if (
            kind != CHEQUE
            or not isinstance(amount, Decimal)
            or (within and not within(entry.moment))
        ):
            continue
        spent.append(amount)
        if any(begin <= entry.moment < end for begin, end in windows):
            favourite.append(amount)
    return spent, favourite


def _average(amounts: list[Decimal]) -> Decimal | None:
    if not amounts:
        return None
    return (sum(amounts, kopecks(0)) / len(amounts)).quantize(Decimal("0.01"))
