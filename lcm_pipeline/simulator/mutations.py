"""Deliberate changes between two requests: inserts, deletes and updates of rows, merged clients.

Actions are `insert_top`, `insert_middle` (a tie with the row there), `insert_tail`,
`delete_newest`, `delete_oldest`, `delete_random`, `delete_all` and `change`.
"""

from typing import Literal, get_args

from lcm_pipeline.simulator import registrations
from lcm_pipeline.simulator.customers import Entry, Shelf
from lcm_pipeline.simulator.endpoints import SHELVES
from lcm_pipeline.simulator.moments import SECOND
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


def mutate(programme: Programme, action: str, client: int, *, kind: str) -> bool:
    """Apply an action to one shelf of a client; `kind` is the name of the shelf.

    Returns whether there was something to change. Raises ValueError for an unknown action or kind.
    """
    endpoint = SHELVES.get(kind)
    if action not in get_args(Action) or endpoint is None:
        raise ValueError(f"no such change: {action} of {kind}")
    customer = programme.customers.get(client)
    if customer is None:
        return False
    shelf = customer.shelves[kind]
    if action.startswith("insert_"):
        if endpoint.insert is not None:
            endpoint.insert(programme, customer, _insert_moment(programme, shelf, action))
        return endpoint.insert is not None
    chosen = _choose_entries(programme, shelf, action)
    for entry in chosen:
        if action != "change":
            shelf.remove(entry)
        elif endpoint.change is not None:
            endpoint.change(entry.row)
    return bool(chosen)


def _insert_moment(programme: Programme, shelf: Shelf, action: str) -> int:
    rows = shelf.newest_first()
    if not rows:
        return programme.agenda.now
    if action == "insert_top":
        return max(programme.agenda.now, rows[0].moment + 1)
    return rows[len(rows) // 2].moment if action == "insert_middle" else rows[-1].moment - SECOND


def _choose_entries(programme: Programme, shelf: Shelf, action: str) -> list[Entry]:
    rows = list(shelf.newest_first())
    if not rows or action == "delete_all":
        return rows
    if action == "delete_newest":
        return rows[:1]
    return rows[-1:] if action == "delete_oldest" else [programme.chance.choice(rows)]


def merge_clients(programme: Programme, source: int, target: int) -> None:
    """Merge two clients by number; raises ValueError if they cannot be merged."""
    old, new = programme.customers.get(source), programme.customers.get(target)
    if old is None or new is None or old is new or old.heir is not None or new.present() is old:
        raise ValueError(f"client {source} cannot be merged into {target}")
    registrations.merge(old, new.present())
