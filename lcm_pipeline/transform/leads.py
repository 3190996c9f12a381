"""Leads: LeadsPagingInfo rows to records of `leads`.

The lead's id is the field `Leads`; the field `Id` is not unique.
"""

from datetime import date, datetime
from functools import partial
from typing import NamedTuple

from lcm_pipeline.model import tables
from lcm_pipeline.model.payloads import Lead
from lcm_pipeline.model.tasks import ClientRows, StagedRows
from lcm_pipeline.transform.staged_rows import StagedRowsBuilder
from lcm_pipeline.transform.values import parse_dated_moment, require


class LeadRecord(NamedTuple):
    """One lead of a client."""

    lead_date: date
    client_id: int
    lead_id: int
    lead_row_id: int | None
    created_at: datetime
    source_name: str | None
    status_name: str | None
    type_name: str | None
    form_name: str | None
    subject: str | None
    mark_name: str | None
    unread_count: int | None
    extra: str | None


def transform_leads(client: ClientRows) -> StagedRows:
    """Transform one client's leads."""
    builder = StagedRowsBuilder(client.client_id)
    builder.add_rows(tables.leads, client.rows, Lead, partial(_to_record, client))
    return builder.finish()


def _to_record(client: ClientRows, lead: Lead, extra: str | None) -> LeadRecord:
    lead_id = require(lead.Leads, "Leads")
    created_at, lead_date = parse_dated_moment(
        lead.ProcTime, "ProcTime", client.zone, client.latest
    )
    return LeadRecord(
        lead_date=lead_date,
        client_id=client.client_id,
        lead_id=lead_id,
        lead_row_id=lead.Id,
        created_at=created_at,
        source_name=lead.LeadSourceName,
        status_name=lead.LeadStatusName,
        type_name=lead.LeadTypeName,
        form_name=lead.FormName,
        subject=lead.Subject,
        mark_name=lead.LeadMarkName,
        unread_count=lead.CountNotReadMessage,
        extra=extra,
    )
