"""Changes made on purpose, between two requests: rows inserted, deleted, changed, merged.

Actions are `insert_top`, `insert_middle` (a tie with the row there), `insert_tail`,
`delete_newest`, `delete_oldest`, `delete_random`, `delete_all` and `change`.
"""

from typing import Literal, get_args

from lcm_pipeline.simulator import favourites, leads, registrations
from lcm_pipeline.simulator.bonuses import CHEQUE, operation_row
from lcm_pipeline.simulator.catalogue import LEAD_STATUSES, POINTS_OF_SALE
from lcm_pipeline.simulator.customers import Customer, Entry, Shelf
from lcm_pipeline.simulator.moments import SECOND, text_of
from lcm_pipeline.simulator.programme import Programme

Action = Literal[
    "insert_top",
    "insert_middle",
    "insert_tail",
    "delete_newest",
    "delete_oldest",
    "delete_random",
    "delete_all",
    "change",
]
Kind = Literal["operations", "leads", "offers"]


def mutate(programme: Programme, action: str, client: int, *, kind: str) -> bool:
    """Carry an action out on the operations, leads or offers of a client."""
    if action not in get_args(Action) or kind not in get_args(Kind):
        raise ValueError(f"no such change: {action} of {kind}")
    customer = programme.customers.get(client)
    if customer is None:
        return False
    shelf: Shelf = getattr(customer, kind)
    if action.startswith("insert_"):
        _insert(programme, customer, kind, _moment_for(programme, shelf, action))
        return True
    chosen = _chosen(programme, shelf, action)
    for entry in chosen:
        if action == "change":
            _change(entry, kind)
        else:
            shelf.remove(entry)
    return bool(chosen)


def _moment_for(programme: Programme, shelf: Shelf, action: str) -> int:
    rows = shelf.newest_first()
    if not rows:
        return programme.agenda.now
    if action == "insert_top":
        return max(programme.agenda.now, rows[0].moment + 1)
    return rows[len(rows) // 2].moment if action == "insert_middle" else rows[-1].moment - SECOND


def _insert(programme: Programme, customer: Customer, kind: str, moment: int) -> None:
    if kind == "leads":
        leads.receive(programme, customer, moment)
    elif kind == "offers":
        favourites.offer(programme, customer, moment)
    else:
        number = next(programme.cheque_ids)
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
        programme.place(customer.operations, row, moment)


def _chosen(programme: Programme, shelf: Shelf, action: str) -> list[Entry]:
    rows = list(shelf.newest_first())
    if not rows or action == "delete_all":
        return rows
    if action == "delete_newest":
        return rows[:1]
    return rows[-1:] if action == "delete_oldest" else [programme.chance.choice(rows)]


def _change(entry: Entry, kind: str) -> None:
    """Change a row in place to something it was not."""
    row = entry.row
    if kind == "leads":
        step = LEAD_STATUSES.index(str(row["LeadStatusName"]))
        row["LeadStatusName"] = LEAD_STATUSES[(step + 1) % len(LEAD_STATUSES)]
    elif kind == "offers":
        row["NoActive"] = not row["NoActive"]
    else:
        row["Active"] = not row["Active"]


def merge_clients(programme: Programme, source: int, target: int) -> None:
    """Merge two clients by number; ValueError when that makes no sense."""
    old, new = programme.customers.get(source), programme.customers.get(target)
    if old is None or new is None or old is new or old.heir is not None or new.present() is old:
        raise ValueError(f"client {source} cannot be merged into {target}")
    registrations.merge(programme, old, new.present())
