"""Registrations: the cards of clients, the rows of ClientInfoPeriod, and changes of card statuses.

There is one row per (Client, Card), all with the RegDate of the client. A second card, or a whole
registration, may become visible a day or two later, in a day that was read already.
"""

from lcm_pipeline.simulator import bonuses, purchases
from lcm_pipeline.simulator.catalogue import CARD_STATUSES, CARD_TYPES, POINTS_OF_SALE
from lcm_pipeline.simulator.customers import Customer
from lcm_pipeline.simulator.moments import DAY, text_of
from lcm_pipeline.simulator.people import invent_profile
from lcm_pipeline.simulator.programme import Programme


def plan_registration(programme: Programme, moment: int, until: int, *, heavy: bool) -> None:
    """Plan a client who registers at a moment and shops until another; a few are visible later."""
    late = not heavy and programme.happens(programme.habits.late_registrations)
    seen = moment + int(programme.chance.random() * DAY) + DAY if late else moment
    # RegDate stays the earlier moment: the row appears in a day that may have been read already.
    programme.agenda.at(seen, _register, programme, moment, until, heavy)


def _register(programme: Programme, moment: int, until: int, heavy: bool) -> None:
    client = programme.next_client()
    phone = None if programme.happens(0.02) else programme.free_phone()
    profile = invent_profile(programme.chance, client, phone)
    customer = Customer(client, moment, profile, [], heavy)
    programme.customers[client] = customer
    if phone is not None:
        programme.by_phone[phone] = customer
    if profile.Email is not None:
        programme.by_email[profile.Email] = customer
    issue_card(programme, customer)
    if programme.happens(programme.habits.two_cards):
        wait = DAY + int(programme.chance.random() * DAY) if programme.happens(0.2) else 0
        programme.agenda.at(moment + wait, issue_card, programme, customer)
    if programme.happens(0.5):
        bonuses.welcome(programme, customer, moment)
    purchases.plan_visits(programme, customer, until)


def issue_card(programme: Programme, customer: Customer) -> None:
    """Give a client a card, which adds a row to the registrations."""
    card = programme.free_card()
    programme.by_card[card] = customer
    customer.cards.append(card)
    point = programme.chance.choice(POINTS_OF_SALE)
    virtual = programme.happens(0.3)
    row = {
        "Client": customer.id,
        "Card": card,
        "OutNumber": programme.perhaps(card if virtual else card // 10),
        "Virtual": programme.perhaps(virtual),
        "Card_Type": programme.perhaps(CARD_TYPES[1] if virtual else CARD_TYPES[0]),
        "Card_Status": programme.perhaps(CARD_STATUSES[0 if programme.happens(0.9) else 3]),
        "RegPos": point.id,
        "RegPosName": programme.perhaps(point.name),
        "RegDate": text_of(customer.registered),
    }
    entry = programme.place(programme.registrations, row, customer.registered)
    customer.registrations.append(entry)


def change_some_cards(programme: Programme) -> None:
    """Change the card status of some clients, in rows of any age."""
    for customer in programme.some_of(programme.habits.card_changes_daily):
        for entry in customer.registrations:
            entry.row["Card_Status"] = programme.chance.choice(CARD_STATUSES)


def merge_some(programme: Programme) -> None:
    """Merge some clients into others; the merged ones have no operations afterwards."""
    for source in programme.some_of(programme.habits.merged_daily):
        target = programme.chance.choice(list(programme.customers.values())).present()
        if not source.heavy and source.heir is None and target is not source:
            merge(source, target)


def merge(source: Customer, target: Customer) -> None:
    """Move one client's operations to another and block its cards."""
    for entry in list(source.operations):
        target.operations.add(entry)
    target.lots.extend(source.lots)
    source.lots.clear()
    source.heir = target
    for entry in source.registrations:
        entry.row["Card_Status"] = CARD_STATUSES[1]
