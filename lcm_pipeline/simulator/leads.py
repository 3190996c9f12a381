"""Leads: what clients write to the programme. `Leads` is unique, `Id` is not; all fields change."""

from lcm_pipeline.simulator.catalogue import (
    LEAD_FORMS,
    LEAD_MARKS,
    LEAD_SOURCES,
    LEAD_STATUSES,
    LEAD_SUBJECTS,
    LEAD_TYPES,
)
from lcm_pipeline.simulator.customers import Customer, Entry
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.moments import DAY, moment_within, text_of
from lcm_pipeline.simulator.programme import Programme


def receive_some(programme: Programme, day: int) -> None:
    """Plan the leads of a day; some are doubled at one moment, some become visible a day later."""
    wanted = programme.some_of(programme.habits.leads_daily)
    wanted += [customer for customer in programme.customers.values() if customer.heavy] * 5
    for customer in wanted:
        moment = moment_within(programme.chance, day)
        if moment < customer.registered:
            continue
        late = DAY if programme.happens(programme.habits.late) else 0
        for _ in range(2 if programme.happens(programme.habits.tied) else 1):
            programme.agenda.at(moment + late, receive, programme, customer, moment)


def receive(programme: Programme, customer: Customer, moment: int) -> Entry:
    """Add a lead and plan its further statuses."""
    chance = programme.chance
    kind = chance.randrange(len(LEAD_TYPES))
    row: Row = {
        "Id": kind + 1,
        "Leads": next(programme.ids["leads"]),
        "ProcTime": text_of(moment),
        "LeadSourceName": programme.perhaps(chance.choice(LEAD_SOURCES)),
        "LeadStatusName": LEAD_STATUSES[0],
        "LeadTypeName": programme.perhaps(LEAD_TYPES[kind]),
        "FormName": programme.perhaps(chance.choice(LEAD_FORMS)),
        "Subject": programme.perhaps(chance.choice(LEAD_SUBJECTS)),
        "LeadMarkName": None,
        "CountNotReadMessage": programme.perhaps(0),
    }
    entry = programme.place(customer.shelves["leads"], row, moment)
    _plan_next(programme, entry, 1)
    return entry


def change_status(row: Row) -> None:
    """Change a lead in place to its next status; the first follows the last."""
    step = LEAD_STATUSES.index(str(row["LeadStatusName"]))
    row["LeadStatusName"] = LEAD_STATUSES[(step + 1) % len(LEAD_STATUSES)]


def _plan_next(programme: Programme, lead: Entry, step: int) -> None:
    wait = int((0.1 + 4 * programme.chance.random()) * DAY)
    programme.agenda.at(programme.agenda.now + wait, advance_lead, programme, lead, step)


def advance_lead(programme: Programme, lead: Entry, step: int) -> None:
    """Move a lead to its next status; a few are deleted as spam, closed ones get a mark."""
    if lead.shelf is None:
        return
    if programme.happens(0.02):
        lead.shelf.remove(lead)
        return
    lead.row["LeadStatusName"] = LEAD_STATUSES[step]
    lead.row["CountNotReadMessage"] = programme.chance.randrange(4)
    if step == len(LEAD_STATUSES) - 1:
        lead.row["LeadMarkName"] = programme.perhaps(programme.chance.choice(LEAD_MARKS))
        lead.row["CountNotReadMessage"] = 0
    elif programme.happens(0.8):
        _plan_next(programme, lead, step + 1)
