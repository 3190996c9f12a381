"""The transform of leads."""

from datetime import UTC, date, datetime

from lcm_pipeline.transform.leads import LeadRecord, transform_leads
from tests.unit.transform_rows import client_rows, lead


def test_every_field_of_a_lead_has_its_column() -> None:
    row = lead(
        LeadSourceName="Сайт", LeadStatusName="Новый", LeadTypeName="Вопрос", FormName="Форма",
        Subject="", LeadMarkName="5", CountNotReadMessage=2,
    )  # fmt: skip
    staged = transform_leads(client_rows([row]))
    assert staged.bad_rows == []
    assert staged.records == {
        "leads": [
            LeadRecord(
                lead_date=date(2026, 3, 4), client_id=7, lead_id=3, lead_row_id=9,
                created_at=datetime(2026, 3, 4, 9, tzinfo=UTC), source_name="Сайт",
                status_name="Новый", type_name="Вопрос", form_name="Форма", subject="",
                mark_name="5", unread_count=2, extra=None,
            )
        ]
    }  # fmt: skip


def test_two_leads_may_share_the_number_of_their_row() -> None:
    assert transform_leads(client_rows([lead(Leads=3), lead(Leads=4)])).record_count == 2


def test_a_lead_without_its_number_is_quarantined() -> None:
    staged = transform_leads(client_rows([lead(Leads=None), lead()]))
    assert staged.record_count == 1
    assert [(row.table, row.reason) for row in staged.bad_rows] == [("leads", "Leads: missing")]


def test_a_lead_in_the_summer_time_of_earlier_years_keeps_its_day() -> None:
    (record,) = transform_leads(client_rows([lead(ProcTime="2010-07-01T00:30:00")])).records[
        "leads"
    ]
    assert isinstance(record, LeadRecord)
    assert record.lead_date == date(2010, 7, 1)
    assert record.created_at == datetime(2010, 6, 30, 20, 30, tzinfo=UTC)
