-- purpose: the normalized tables of a loyalty programme, one row per thing

create schema core;
comment on schema core is 'normalized tables of the loyalty programme; times are timestamptz, days are business days in the time zone of the programme';

create table core.registrations (
    registration_date date not null,
    client_id bigint not null,
    card_number bigint not null,
    registered_at timestamptz not null,
    out_number bigint,
    is_virtual boolean,
    card_type text,
    card_status text,
    pos_id bigint,
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    deleted_at timestamptz,
    primary key (registration_date, client_id, card_number)
) partition by range (registration_date);
create index on core.registrations (client_id);
comment on table core.registrations is 'one row per card of a client who registered (ClientInfoPeriod)';
comment on column core.registrations.registration_date is 'business day of registered_at';
comment on column core.registrations.client_id is 'the client (Client)';
comment on column core.registrations.card_number is 'the card (Card)';
comment on column core.registrations.registered_at is 'RegDate';
comment on column core.registrations.out_number is 'number printed on the card (OutNumber)';
comment on column core.registrations.is_virtual is 'the card is virtual (Virtual)';
comment on column core.registrations.card_type is 'Card_Type';
comment on column core.registrations.card_status is 'Card_Status';
comment on column core.registrations.pos_id is 'point of sale of the registration (RegPos)';
comment on column core.registrations.extra is 'fields that the contract does not know; null when none';
comment on column core.registrations.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.registrations.first_seen_at is 'when the row was first published';
comment on column core.registrations.synced_at is 'when this version was published';
comment on column core.registrations.deleted_at is 'when a proven reading no longer had the row; null while the source has it';

create table core.operations (
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
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    deleted_at timestamptz,
    primary key (operation_date, client_id, component_type, operation_id)
) partition by range (operation_date);
create index on core.operations (client_id);
comment on table core.operations is 'one row per bonus, cheque or order of a client (OperationHistory)';
comment on column core.operations.operation_date is 'business day of processed_at';
comment on column core.operations.client_id is 'the client (Client)';
comment on column core.operations.component_type is 'kind of operation (ComponentType); part of the key, as bonus and cheque ids collide';
comment on column core.operations.operation_id is 'Id, unique within client and component_type';
comment on column core.operations.processed_at is 'Proctime, the time of processing by the server';
comment on column core.operations.bonus_id is 'BonusId';
comment on column core.operations.cheque_id is 'ChequeId';
comment on column core.operations.cheque_number is 'ChequeNumber';
comment on column core.operations.order_id is 'OrderId';
comment on column core.operations.parent_id is 'original of a refund, as far as known (Parent)';
comment on column core.operations.pos_id is 'point of sale (Pos)';
comment on column core.operations.partner_name is 'PartnerName';
comment on column core.operations.amount is 'amount of the cheque in money (Amount)';
comment on column core.operations.added is 'points added (Added)';
comment on column core.operations.redeemed is 'points redeemed (Redeemed)';
comment on column core.operations.discount is 'discount in money (Discount)';
comment on column core.operations.certificate_redeemed is 'paid by gift certificate (SertRedeemed)';
comment on column core.operations.remain is 'points of this lot not yet used (Remain)';
comment on column core.operations.is_refund is 'Refund';
comment on column core.operations.coupon_number is 'CouponNumber';
comment on column core.operations.bonus_source is 'why points were added, see core.bonus_sources (BonusSource)';
comment on column core.operations.is_active is 'the points can be used (Active)';
comment on column core.operations.active_from is 'ActiveDate';
comment on column core.operations.expires_at is 'ExpiryDate';
comment on column core.operations.extra is 'fields that the contract does not know; null when none';
comment on column core.operations.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.operations.first_seen_at is 'when the row was first published';
comment on column core.operations.synced_at is 'when this version was published';
comment on column core.operations.deleted_at is 'when a proven reading no longer had the row; null while the source has it';

create table core.leads (
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
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    deleted_at timestamptz,
    primary key (lead_date, client_id, lead_id)
) partition by range (lead_date);
create index on core.leads (client_id);
comment on table core.leads is 'one row per lead of a client (LeadsPagingInfo)';
comment on column core.leads.lead_date is 'business day of created_at';
comment on column core.leads.client_id is 'the client (Client)';
comment on column core.leads.lead_id is 'the lead (Leads)';
comment on column core.leads.lead_row_id is 'Id, not unique';
comment on column core.leads.created_at is 'ProcTime';
comment on column core.leads.source_name is 'LeadSourceName';
comment on column core.leads.status_name is 'LeadStatusName';
comment on column core.leads.type_name is 'LeadTypeName';
comment on column core.leads.form_name is 'FormName';
comment on column core.leads.subject is 'Subject';
comment on column core.leads.mark_name is 'LeadMarkName';
comment on column core.leads.unread_count is 'messages not read (CountNotReadMessage)';
comment on column core.leads.extra is 'fields that the contract does not know; null when none';
comment on column core.leads.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.leads.first_seen_at is 'when the row was first published';
comment on column core.leads.synced_at is 'when this version was published';
comment on column core.leads.deleted_at is 'when a proven reading no longer had the row; null while the source has it';

create table core.favourite_offers (
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
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    deleted_at timestamptz,
    primary key (offer_date, client_id, favourite_id)
) partition by range (offer_date);
create index on core.favourite_offers (client_id);
comment on table core.favourite_offers is 'one row per time that a client was offered a favourite product';
comment on column core.favourite_offers.offer_date is 'business day of offered_at';
comment on column core.favourite_offers.client_id is 'the client (Client)';
comment on column core.favourite_offers.favourite_id is 'the offer (Id of ClientFavorites)';
comment on column core.favourite_offers.offered_at is 'ProcTime';
comment on column core.favourite_offers.confirm_until is 'ConfirmDateEnd';
comment on column core.favourite_offers.is_confirmed is 'Confirm';
comment on column core.favourite_offers.confirmed_at is 'ProcTimeConfirm';
comment on column core.favourite_offers.active_until is 'ActionDateEnd';
comment on column core.favourite_offers.is_inactive is 'NoActive';
comment on column core.favourite_offers.extra is 'fields that the contract does not know; null when none';
comment on column core.favourite_offers.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.favourite_offers.first_seen_at is 'when the row was first published';
comment on column core.favourite_offers.synced_at is 'when this version was published';
comment on column core.favourite_offers.deleted_at is 'when a proven reading no longer had the row; null while the source has it';

create table core.favourite_goods (
    client_id bigint not null,
    favourite_id bigint not null,
    list_data_id bigint not null,
    is_inactive boolean,
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    deleted_at timestamptz,
    primary key (client_id, favourite_id, list_data_id)
);
comment on table core.favourite_goods is 'goods of an offer, chosen or to choose (ListFavorites)';
comment on column core.favourite_goods.client_id is 'the client (Client)';
comment on column core.favourite_goods.favourite_id is 'the offer';
comment on column core.favourite_goods.list_data_id is 'the good (ListDataId), see core.goods';
comment on column core.favourite_goods.is_inactive is 'NoActive';
comment on column core.favourite_goods.extra is 'fields that the contract does not know; null when none';
comment on column core.favourite_goods.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.favourite_goods.first_seen_at is 'when the row was first published';
comment on column core.favourite_goods.synced_at is 'when this version was published';
comment on column core.favourite_goods.deleted_at is 'when a proven reading no longer had the row; null while the source has it';

create table core.favourite_groups (
    client_id bigint not null,
    group_id bigint not null,
    group_name text,
    select_count integer,
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    deleted_at timestamptz,
    primary key (client_id, group_id)
);
comment on table core.favourite_groups is 'goods that a client chose, with counts (GroupFavorites)';
comment on column core.favourite_groups.client_id is 'the client (Client)';
comment on column core.favourite_groups.group_id is 'Id of GroupFavorites';
comment on column core.favourite_groups.group_name is 'Name';
comment on column core.favourite_groups.select_count is 'how often it was chosen (CountSelect)';
comment on column core.favourite_groups.extra is 'fields that the contract does not know; null when none';
comment on column core.favourite_groups.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.favourite_groups.first_seen_at is 'when the row was first published';
comment on column core.favourite_groups.synced_at is 'when this version was published';
comment on column core.favourite_groups.deleted_at is 'when a proven reading no longer had the row; null while the source has it';

create table core.favourite_stats (
    snapshot_date date not null,
    client_id bigint not null,
    max_link_goods integer,
    now_link_goods integer,
    remain_link_goods integer,
    remain_count_purchases integer,
    remain_gain numeric(19, 2),
    remain_every_gain numeric(19, 2),
    count_offer integer,
    count_confirm integer,
    count_purchases integer,
    sum_gain numeric(19, 2),
    avg_favourite numeric(19, 2),
    avg_all numeric(19, 2),
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    deleted_at timestamptz,
    primary key (snapshot_date, client_id)
) partition by range (snapshot_date);
create index on core.favourite_stats (client_id, snapshot_date desc);
comment on table core.favourite_stats is 'the twelve numbers of a client in the favourite product mechanic, all-time; a row only on a day they changed';
comment on column core.favourite_stats.snapshot_date is 'last business day of the window in which the numbers were read';
comment on column core.favourite_stats.client_id is 'the client (Client)';
comment on column core.favourite_stats.max_link_goods is 'goods that may be chosen (MaxLinkGoods)';
comment on column core.favourite_stats.now_link_goods is 'goods chosen now (NowLinkGoods)';
comment on column core.favourite_stats.remain_link_goods is 'goods left to choose (RemainLinkGoods)';
comment on column core.favourite_stats.remain_count_purchases is 'purchases until a choice opens (RemainCountPurchases)';
comment on column core.favourite_stats.remain_gain is 'money to spend until a choice opens (RemainGain)';
comment on column core.favourite_stats.remain_every_gain is 'money to spend in each purchase (RemainEveryGain)';
comment on column core.favourite_stats.count_offer is 'offers so far (CountOffer)';
comment on column core.favourite_stats.count_confirm is 'confirmations so far (CountConfirm)';
comment on column core.favourite_stats.count_purchases is 'purchases with a favourite product (CountPurchases)';
comment on column core.favourite_stats.sum_gain is 'money spent on them (SumGain)';
comment on column core.favourite_stats.avg_favourite is 'average cheque with a favourite product (AvgFavorite)';
comment on column core.favourite_stats.avg_all is 'average cheque (AvgAll)';
comment on column core.favourite_stats.extra is 'fields that the contract does not know; null when none';
comment on column core.favourite_stats.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.favourite_stats.first_seen_at is 'when the row was first published';
comment on column core.favourite_stats.synced_at is 'when this version was published';
comment on column core.favourite_stats.deleted_at is 'when a proven reading no longer had the row; null while the source has it';

create table core.clients (
    client_id bigint not null,
    registered_at timestamptz,
    registration_date date,
    pos_id bigint,
    phone bigint,
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    primary key (client_id)
);
create index on core.clients (registration_date);
comment on table core.clients is 'the roster: one row per client';
comment on column core.clients.client_id is 'the client (Client)';
comment on column core.clients.registered_at is 'first registration of any card';
comment on column core.clients.registration_date is 'business day of registered_at';
comment on column core.clients.pos_id is 'point of sale of the first registration';
comment on column core.clients.phone is 'phone, 10 digits (OperationHistory)';
comment on column core.clients.extra is 'fields that the contract does not know; null when none';
comment on column core.clients.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.clients.first_seen_at is 'when the row was first published';
comment on column core.clients.synced_at is 'when this version was published';

create table core.cards (
    card_number bigint not null,
    client_id bigint not null,
    out_number bigint,
    is_virtual boolean,
    card_type text,
    card_status text,
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    primary key (card_number)
);
create index on core.cards (client_id);
comment on table core.cards is 'one row per card';
comment on column core.cards.card_number is 'the card';
comment on column core.cards.client_id is 'the client (Client)';
comment on column core.cards.out_number is 'number printed on the card';
comment on column core.cards.is_virtual is 'the card is virtual';
comment on column core.cards.card_type is 'type';
comment on column core.cards.card_status is 'status';
comment on column core.cards.extra is 'fields that the contract does not know; null when none';
comment on column core.cards.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.cards.first_seen_at is 'when the row was first published';
comment on column core.cards.synced_at is 'when this version was published';

create table core.points_of_sale (
    pos_id bigint not null,
    name text,
    named_at timestamptz not null,
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    primary key (pos_id)
);
comment on table core.points_of_sale is 'one row per point of sale';
comment on column core.points_of_sale.pos_id is 'Pos or RegPos';
comment on column core.points_of_sale.name is 'PosName or RegPosName';
comment on column core.points_of_sale.named_at is 'moment of the row that the name was taken from; the newest wins';
comment on column core.points_of_sale.extra is 'fields that the contract does not know; null when none';
comment on column core.points_of_sale.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.points_of_sale.first_seen_at is 'when the row was first published';
comment on column core.points_of_sale.synced_at is 'when this version was published';

create table core.bonus_sources (
    bonus_source smallint not null,
    name text,
    named_at timestamptz not null,
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    primary key (bonus_source)
);
comment on table core.bonus_sources is 'why points are added';
comment on column core.bonus_sources.bonus_source is 'BonusSource';
comment on column core.bonus_sources.name is 'BonusSourceName';
comment on column core.bonus_sources.named_at is 'moment of the row that the name was taken from; the newest wins';
comment on column core.bonus_sources.extra is 'fields that the contract does not know; null when none';
comment on column core.bonus_sources.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.bonus_sources.first_seen_at is 'when the row was first published';
comment on column core.bonus_sources.synced_at is 'when this version was published';

create table core.goods (
    list_data_id bigint not null,
    code text,
    name text,
    image_url text,
    named_at timestamptz not null,
    extra jsonb,
    sync_run_id bigint not null,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    primary key (list_data_id)
);
comment on table core.goods is 'goods of the favourite product mechanic';
comment on column core.goods.list_data_id is 'ListDataId';
comment on column core.goods.code is 'Code';
comment on column core.goods.name is 'Name';
comment on column core.goods.image_url is 'UrlImage';
comment on column core.goods.named_at is 'moment of the row that the name was taken from; the newest wins';
comment on column core.goods.extra is 'fields that the contract does not know; null when none';
comment on column core.goods.sync_run_id is 'run of sync.runs that wrote this version';
comment on column core.goods.first_seen_at is 'when the row was first published';
comment on column core.goods.synced_at is 'when this version was published';
