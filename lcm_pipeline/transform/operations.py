"""Operations: OperationHistory rows to records of `operations`, its envelope to a phone.

The phone is in the envelope, so a client without operations has one too.
"""

from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from lcm_pipeline.model import tables
from lcm_pipeline.model.payloads import Operation
from lcm_pipeline.model.tasks import ClientRows, StagedRows
from lcm_pipeline.transform.envelope import ENVELOPE, INT64, EnvelopeReader, to_source_row
from lcm_pipeline.transform.registrations import ClientRecord
from lcm_pipeline.transform.staged_rows import StagedRowsBuilder
from lcm_pipeline.transform.values import (
    parse_dated_moment,
    parse_moment,
    require,
    to_money,
)

# The members of an envelope that are staged.
ENVELOPE_MEMBERS = frozenset({"Phone"})


class OperationRecord(NamedTuple):
    """One operation; pos_name and bonus_source_name fill the tables of names."""

    operation_date: date
    client_id: int
    component_type: int
    operation_id: int
    processed_at: datetime
    bonus_id: int | None
    cheque_id: int | None
    cheque_number: str | None
    order_id: int | None
    parent_id: int | None
    pos_id: int | None
    partner_name: str | None
    amount: Decimal | None
    added: Decimal | None
    redeemed: Decimal | None
    discount: Decimal | None
    certificate_redeemed: Decimal | None
    remain: Decimal | None
    is_refund: bool | None
    coupon_number: str | None
    bonus_source: int | None
    is_active: bool | None
    active_from: datetime | None
    expires_at: datetime | None
    pos_name: str | None
    bonus_source_name: str | None
    extra: str | None


def transform_operations(client: ClientRows) -> StagedRows:
    """Transform one client's operations and, if there is an envelope to stage, its phone."""
    builder = StagedRowsBuilder(client.client_id)
    builder.add_rows(tables.operations, client.rows, Operation, partial(_to_record, client))
    if client.envelope is not None:
        reader = EnvelopeReader(client.envelope)
        phone = reader.read("Phone", INT64)
        if reader.faults:
            row = to_source_row(client.envelope)
            builder.quarantine(tables.clients, row, reader.reason, context=ENVELOPE)
        # Without a phone, or with one that does not fit, the stored phone stays as it is.
        if "Phone" in reader.present:
            record = ClientRecord(
                client_id=client.client_id,
                registered_at=None,
                registration_date=None,
                pos_id=None,
                # 0 and null: the client has no phone any more.
                phone=phone or None,
                extra=None,
            )
            builder.add_record(tables.clients, record)
    return builder.finish()


def _to_record(client: ClientRows, operation: Operation, extra: str | None) -> OperationRecord:
    component_type = require(operation.ComponentType, "ComponentType")
    operation_id = require(operation.Id, "Id")
    processed_at, operation_date = parse_dated_moment(
        operation.Proctime, "Proctime", client.zone, client.latest
    )
    return OperationRecord(
        operation_date=operation_date,
        client_id=client.client_id,
        component_type=component_type,
        operation_id=operation_id,
        processed_at=processed_at,
        bonus_id=operation.BonusId,
        cheque_id=operation.ChequeId,
        cheque_number=operation.ChequeNumber,
        order_id=operation.OrderId,
        parent_id=operation.Parent,
        pos_id=operation.Pos,
        partner_name=operation.PartnerName,
        amount=to_money(operation.Amount, "Amount"),
        added=to_money(operation.Added, "Added"),
        redeemed=to_money(operation.Redeemed, "Redeemed"),
        discount=to_money(operation.Discount, "Discount"),
        certificate_redeemed=to_money(operation.SertRedeemed, "SertRedeemed"),
        remain=to_money(operation.Remain, "Remain"),
        is_refund=operation.Refund,
        coupon_number=operation.CouponNumber,
        bonus_source=operation.BonusSource,
        is_active=operation.Active,
        active_from=parse_moment(operation.ActiveDate, "ActiveDate"),
        expires_at=parse_moment(operation.ExpiryDate, "ExpiryDate"),
        pos_name=operation.PosName,
        bonus_source_name=operation.BonusSourceName,
        extra=extra,
    )
