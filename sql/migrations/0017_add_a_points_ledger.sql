-- purpose: conventions of points, found in the data or set by a parameter, and cheques that two clients name

alter table mart.parameters
    add column friend_bonus_source smallint not null default 8,
    add column spending_order text not null default 'detected' check (
        spending_order in ('detected', 'soonest_to_expire', 'oldest_first', 'newest_first')
    ),
    add column residual_limit numeric(5, 4) not null default 0.005 check (residual_limit >= 0);
comment on column mart.parameters.friend_bonus_source is 'bonus source of points for the purchase of somebody else: the cheque that such a row names is no purchase of its client';
comment on column mart.parameters.spending_order is 'which lots are redeemed first: soonest_to_expire, oldest_first or newest_first; detected takes the order that the data shows, see mart.conventions';

comment on column mart.parameters.residual_limit is 'share of the points given in a month above which what no row explains is worth a warning';

create table mart.conventions (
    convention text not null,
    finding text,
    votes bigint not null default 0,
    share numeric(5, 4),
    is_decided boolean not null default false,
    found_at timestamptz not null default now(),
    primary key (convention)
);
comment on table mart.conventions is 'what the data shows of conventions that no field of the source tells; a decided one stays until its row is deleted. Grain: convention';
comment on column mart.conventions.convention is 'spending_order';
comment on column mart.conventions.finding is 'what fits the data best; null where the data shows nothing';
comment on column mart.conventions.votes is 'pairs of lots that speak of it';
comment on column mart.conventions.share is 'share of these pairs that agree with the finding';
comment on column mart.conventions.is_decided is 'the evidence was strong enough, and the finding is in use';
comment on column mart.conventions.found_at is 'when it was found';

create table refresh.shared_cheques (
    cheque_id bigint not null,
    client_id bigint not null,
    primary key (cheque_id, client_id)
);
create index on refresh.shared_cheques (client_id);
comment on table refresh.shared_cheques is 'cheques that rows of several clients name, as after a merge of which only one side was read; each counts for one of them';
comment on column refresh.shared_cheques.cheque_id is 'the cheque';
comment on column refresh.shared_cheques.client_id is 'a client who has rows that name it, or had';

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on refresh.shared_cheques, mart.conventions
            to lcm_loader;
        if pg_has_role(current_user, 'lcm_loader', 'member') then
            alter table refresh.shared_cheques owner to lcm_loader;
        end if;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_analyst') then
        grant select on mart.conventions to lcm_analyst;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_bi') then
        grant select on mart.conventions to lcm_bi;
    end if;
end;
$$;
