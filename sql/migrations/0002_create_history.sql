-- purpose: earlier versions of rows of core that changed or were deleted

create schema history;
comment on schema history is 'earlier versions of changed or deleted rows, by month of valid_to';

create table history.operations (
    operation_date date not null,
    client_id bigint not null,
    component_type smallint not null,
    operation_id bigint not null,
    processed_at timestamptz not null,
    bonus_id bigint,
    cheque_id bigint,
    cheque_number text,
    order_id bigint,
    parent_id bigint,
    pos_id bigint,
    partner_name text,
    amount numeric(19, 2),
    added numeric(19, 2),
    redeemed numeric(19, 2),
    discount numeric(19, 2),
    certificate_redeemed numeric(19, 2),
    remain numeric(19, 2),
    is_refund boolean,
    coupon_number text,
    bonus_source smallint,
    is_active boolean,
    active_from timestamptz,
    expires_at timestamptz,
    extra jsonb,
    sync_run_id bigint,
    first_seen_at timestamptz,
    synced_at timestamptz,
    deleted_at timestamptz,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    primary key (valid_to, operation_date, client_id, component_type, operation_id)
) partition by range (valid_to);
create index on history.operations (client_id);
comment on table history.operations is 'earlier versions of operations';
comment on column history.operations.operation_date is 'business day of processed_at';
comment on column history.operations.client_id is 'the client (Client)';
comment on column history.operations.component_type is 'kind of operation (ComponentType); part of the key, as bonus and cheque ids collide';
comment on column history.operations.operation_id is 'Id, unique within client and component_type';
comment on column history.operations.processed_at is 'Proctime, the time of processing by the server';
comment on column history.operations.bonus_id is 'BonusId';
comment on column history.operations.cheque_id is 'ChequeId';
comment on column history.operations.cheque_number is 'ChequeNumber';
comment on column history.operations.order_id is 'OrderId';
comment on column history.operations.parent_id is 'original of a refund, as far as known (Parent)';
comment on column history.operations.pos_id is 'point of sale (Pos)';
comment on column history.operations.partner_name is 'PartnerName';
comment on column history.operations.amount is 'amount of the cheque in money (Amount)';
comment on column history.operations.added is 'points added (Added)';
comment on column history.operations.redeemed is 'points redeemed (Redeemed)';
comment on column history.operations.discount is 'discount in money (Discount)';
comment on column history.operations.certificate_redeemed is 'paid by gift certificate (SertRedeemed)';
comment on column history.operations.remain is 'points of this lot not yet used (Remain)';
comment on column history.operations.is_refund is 'Refund';
comment on column history.operations.coupon_number is 'CouponNumber';
comment on column history.operations.bonus_source is 'why points were added, see core.bonus_sources (BonusSource)';
comment on column history.operations.is_active is 'the points can be used (Active)';
comment on column history.operations.active_from is 'ActiveDate';
comment on column history.operations.expires_at is 'ExpiryDate';
comment on column history.operations.extra is 'fields that the contract does not know; null when none';
comment on column history.operations.sync_run_id is 'run of sync.runs that wrote this version';
comment on column history.operations.first_seen_at is 'when the row was first published';
comment on column history.operations.synced_at is 'when this version was published';
comment on column history.operations.deleted_at is 'when a proven reading no longer had the row; null while the source has it';
comment on column history.operations.valid_from is 'since when this version stood in core';
comment on column history.operations.valid_to is 'when it was replaced or deleted';

create table history.leads (
    lead_date date not null,
    client_id bigint not null,
    lead_id bigint not null,
    lead_row_id bigint,
    created_at timestamptz not null,
    source_name text,
    status_name text,
    type_name text,
    form_name text,
    subject text,
    mark_name text,
    unread_count integer,
    extra jsonb,
    sync_run_id bigint,
    first_seen_at timestamptz,
    synced_at timestamptz,
    deleted_at timestamptz,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    primary key (valid_to, lead_date, client_id, lead_id)
) partition by range (valid_to);
create index on history.leads (client_id);
comment on table history.leads is 'earlier versions of leads';
comment on column history.leads.lead_date is 'business day of created_at';
comment on column history.leads.client_id is 'the client (Client)';
comment on column history.leads.lead_id is 'the lead (Leads)';
comment on column history.leads.lead_row_id is 'Id, not unique';
comment on column history.leads.created_at is 'ProcTime';
comment on column history.leads.source_name is 'LeadSourceName';
comment on column history.leads.status_name is 'LeadStatusName';
comment on column history.leads.type_name is 'LeadTypeName';
comment on column history.leads.form_name is 'FormName';
comment on column history.leads.subject is 'Subject';
comment on column history.leads.mark_name is 'LeadMarkName';
comment on column history.leads.unread_count is 'messages not read (CountNotReadMessage)';
comment on column history.leads.extra is 'fields that the contract does not know; null when none';
comment on column history.leads.sync_run_id is 'run of sync.runs that wrote this version';
comment on column history.leads.first_seen_at is 'when the row was first published';
comment on column history.leads.synced_at is 'when this version was published';
comment on column history.leads.deleted_at is 'when a proven reading no longer had the row; null while the source has it';
comment on column history.leads.valid_from is 'since when this version stood in core';
comment on column history.leads.valid_to is 'when it was replaced or deleted';

create table history.favourite_offers (
    offer_date date not null,
    client_id bigint not null,
    favourite_id bigint not null,
    offered_at timestamptz not null,
    confirm_until timestamptz,
    is_confirmed boolean,
    confirmed_at timestamptz,
    active_until timestamptz,
    is_inactive boolean,
    extra jsonb,
    sync_run_id bigint,
    first_seen_at timestamptz,
    synced_at timestamptz,
    deleted_at timestamptz,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    primary key (valid_to, offer_date, client_id, favourite_id)
) partition by range (valid_to);
create index on history.favourite_offers (client_id);
comment on table history.favourite_offers is 'earlier versions of favourite offers';
comment on column history.favourite_offers.offer_date is 'business day of offered_at';
comment on column history.favourite_offers.client_id is 'the client (Client)';
comment on column history.favourite_offers.favourite_id is 'the offer (Id of ClientFavorites)';
comment on column history.favourite_offers.offered_at is 'ProcTime';
comment on column history.favourite_offers.confirm_until is 'ConfirmDateEnd';
comment on column history.favourite_offers.is_confirmed is 'Confirm';
comment on column history.favourite_offers.confirmed_at is 'ProcTimeConfirm';
comment on column history.favourite_offers.active_until is 'ActionDateEnd';
comment on column history.favourite_offers.is_inactive is 'NoActive';
comment on column history.favourite_offers.extra is 'fields that the contract does not know; null when none';
comment on column history.favourite_offers.sync_run_id is 'run of sync.runs that wrote this version';
comment on column history.favourite_offers.first_seen_at is 'when the row was first published';
comment on column history.favourite_offers.synced_at is 'when this version was published';
comment on column history.favourite_offers.deleted_at is 'when a proven reading no longer had the row; null while the source has it';
comment on column history.favourite_offers.valid_from is 'since when this version stood in core';
comment on column history.favourite_offers.valid_to is 'when it was replaced or deleted';
