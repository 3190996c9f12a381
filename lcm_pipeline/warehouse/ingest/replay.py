"""Lets quarantined rows have another try: their clients and days are read in full again."""

from lcm_pipeline.warehouse.connection import Warehouse

_FORGET_CLIENTS = """
update sync.client_state
set fingerprint = null, head = null, version = version + 1
where exists (
    select from sync.quarantine
    where
        quarantine.endpoint = client_state.endpoint
        and quarantine.client_id = client_state.client_id
        and quarantine.resolved_at is null
)
"""

_FORGET_DAYS = """
update sync.registration_days
set fingerprint = null, version = version + 1
where exists (
    select from sync.quarantine
    where
        quarantine.endpoint = 'registrations'
        and quarantine.context = registration_days.registration_date::text
        and quarantine.resolved_at is null
)
"""


def forget_quarantined(warehouse: Warehouse) -> int:
    """Forget that clients and days with open quarantine are up to date; returns how many."""
    with warehouse.connect(application_name="lcm replay") as session:
        return session.execute(_FORGET_CLIENTS).rowcount + session.execute(_FORGET_DAYS).rowcount
