-- purpose: what the marts are parameterized by, and the ledger of the installed marts

create table mart.parameters (
    is_only boolean not null default true check (is_only),
    timezone text not null default 'Europe/Moscow',
    point_value numeric(19, 4) not null default 1 check (point_value >= 0),
    expected_breakage numeric(5, 4) not null default 0.2 check (expected_breakage between 0 and 1),
    sla_hours integer not null default 24 check (sla_hours > 0),
    closing_sla_hours integer not null default 72 check (closing_sla_hours > 0),
    new_lead_statuses text [] not null default array['Новое'],
    closed_lead_statuses text [] not null default array['Решено', 'Закрыто'],
    purchase_bonus_source smallint not null default 1,
    burnt_bonus_source smallint not null default 7,
    rfm_days integer not null default 365 check (rfm_days > 0),
    rfm_breaks numeric [] not null default array[0.2, 0.4, 0.6, 0.8],
    lapse_days integer not null default 90 check (lapse_days > 0),
    first_purchase_days integer not null default 30 check (first_purchase_days > 0),
    primary key (is_only)
);
insert into mart.parameters default values;
comment on table mart.parameters is 'what the marts are parameterized by: one row, to be edited in place';
comment on column mart.parameters.is_only is 'true: there is one row';
comment on column mart.parameters.timezone is 'time zone of the business day; written by each sync from LCM_TIMEZONE';
comment on column mart.parameters.point_value is 'what one point is worth, in money';
comment on column mart.parameters.expected_breakage is 'share of outstanding points that is expected never to be redeemed';
comment on column mart.parameters.sla_hours is 'hours in which a lead has to leave the new statuses';
comment on column mart.parameters.closing_sla_hours is 'hours in which a lead has to be closed';
comment on column mart.parameters.new_lead_statuses is 'statuses of a lead that nobody has taken up; an empty status counts as one';
comment on column mart.parameters.closed_lead_statuses is 'statuses of a lead that is done with';
comment on column mart.parameters.purchase_bonus_source is 'bonus source of points for purchases';
comment on column mart.parameters.burnt_bonus_source is 'bonus source of the rows that tell of expired points';
comment on column mart.parameters.rfm_days is 'days that frequency and monetary value look back';
comment on column mart.parameters.rfm_breaks is 'shares of clients at which the next score begins; four breaks make quintiles';
comment on column mart.parameters.lapse_days is 'days without a purchase after which a client counts as lapsed';
comment on column mart.parameters.first_purchase_days is 'days in which a new member should have bought';

create table mart.rfm_segments (
    priority integer not null,
    segment text not null,
    segment_ru text not null,
    recency_from integer not null default 1,
    recency_to integer not null default 2147483647,
    frequency_from integer not null default 1,
    frequency_to integer not null default 2147483647,
    monetary_from integer not null default 1,
    monetary_to integer not null default 2147483647,
    primary key (priority)
);
insert into mart.rfm_segments (
    priority, segment, segment_ru, recency_from, recency_to, frequency_from, frequency_to,
    monetary_from, monetary_to
)
values
(1, 'Champions', 'Чемпионы', 4, 5, 4, 5, 4, 5),
(2, 'Can''t lose', 'Нельзя потерять', 1, 2, 4, 5, 4, 5),
(3, 'Loyal', 'Лояльные', 3, 5, 4, 5, 1, 5),
(4, 'At risk', 'Под угрозой', 1, 2, 3, 5, 1, 5),
(5, 'Potential loyalists', 'Потенциально лояльные', 4, 5, 2, 3, 1, 5),
(6, 'New', 'Новые', 4, 5, 1, 1, 1, 5),
(7, 'Need attention', 'Требуют внимания', 3, 3, 2, 3, 1, 5),
(8, 'About to sleep', 'Засыпающие', 3, 3, 1, 1, 1, 5),
(9, 'Hibernating', 'Спящие', 1, 2, 1, 2, 1, 5);
comment on table mart.rfm_segments is 'names for RFM scores: the rule of the lowest priority that fits names a client';
comment on column mart.rfm_segments.priority is 'rules are tried in this order';
comment on column mart.rfm_segments.segment is 'name, English';
comment on column mart.rfm_segments.segment_ru is 'name, Russian';
comment on column mart.rfm_segments.recency_from is 'least R score';
comment on column mart.rfm_segments.recency_to is 'greatest R score';
comment on column mart.rfm_segments.frequency_from is 'least F score';
comment on column mart.rfm_segments.frequency_to is 'greatest F score';
comment on column mart.rfm_segments.monetary_from is 'least M score';
comment on column mart.rfm_segments.monetary_to is 'greatest M score';

-- A mart is installed again only when its file has changed.
create table public.lcm_marts (
    name text not null,
    checksum text not null,
    installed_at timestamptz not null default now(),
    primary key (name)
);
