-- purpose: what people who build on core need: working days, and views with the rules for live rows

-- Days on which the five-day week differs from weekends and holidays, by the decree of each year.
create table mart.calendar_exceptions (
    calendar_date date not null,
    is_working_day boolean not null,
    reason text not null,
    primary key (calendar_date)
);
comment on table mart.calendar_exceptions is 'days off, and working days, that decrees of the government moved; add a year when its decree is out. Grain: day';
comment on column mart.calendar_exceptions.calendar_date is 'the day';
comment on column mart.calendar_exceptions.is_working_day is 'true for a Saturday that is worked, false for a day off';
comment on column mart.calendar_exceptions.reason is 'the decree';
insert into mart.calendar_exceptions (calendar_date, is_working_day, reason)
values
('2021-02-20', true, 'постановление от 10.10.2020 № 1648'),
('2021-02-22', false, 'постановление от 10.10.2020 № 1648'),
('2021-11-05', false, 'постановление от 10.10.2020 № 1648'),
('2021-12-31', false, 'постановление от 10.10.2020 № 1648'),
('2022-03-05', true, 'постановление от 16.09.2021 № 1564'),
('2022-03-07', false, 'постановление от 16.09.2021 № 1564'),
('2022-05-03', false, 'постановление от 16.09.2021 № 1564'),
('2022-05-10', false, 'постановление от 16.09.2021 № 1564'),
('2023-02-24', false, 'постановление от 29.08.2022 № 1505'),
('2023-05-08', false, 'постановление от 29.08.2022 № 1505'),
('2024-04-27', true, 'постановление от 10.08.2023 № 1314'),
('2024-04-29', false, 'постановление от 10.08.2023 № 1314'),
('2024-04-30', false, 'постановление от 10.08.2023 № 1314'),
('2024-05-10', false, 'постановление от 10.08.2023 № 1314'),
('2024-11-02', true, 'постановление от 10.08.2023 № 1314'),
('2024-12-28', true, 'постановление от 10.08.2023 № 1314'),
('2024-12-30', false, 'постановление от 10.08.2023 № 1314'),
('2024-12-31', false, 'постановление от 10.08.2023 № 1314'),
('2025-05-02', false, 'постановление от 04.10.2024 № 1335'),
('2025-05-08', false, 'постановление от 04.10.2024 № 1335'),
('2025-06-13', false, 'постановление от 04.10.2024 № 1335'),
('2025-11-01', true, 'постановление от 04.10.2024 № 1335'),
('2025-11-03', false, 'постановление от 04.10.2024 № 1335'),
('2025-12-31', false, 'постановление от 04.10.2024 № 1335'),
('2026-01-09', false, 'постановление от 24.09.2025 № 1466'),
('2026-12-31', false, 'постановление от 24.09.2025 № 1466');
-- Moved by decree, so not to the Monday after them as the rule has it.
insert into mart.calendar_exceptions (calendar_date, is_working_day, reason)
values
('2025-02-24', true, 'постановление от 04.10.2024 № 1335'),
('2025-03-10', true, 'постановление от 04.10.2024 № 1335');

create schema core_live;
comment on schema core_live is 'views on core with the rules that everybody needs: rows that the source still has, each cheque once, clients whose history moved on';

create view core_live.registrations as
select *
from core.registrations
where
    deleted_at is null
    and registration_date between mart.first_plausible_day() and mart.last_plausible_day();
comment on view core_live.registrations is 'registrations that the source still has, of plausible days. Grain: client, card';

create view core_live.operations as
select *
from core.operations
where
    deleted_at is null
    and operation_date between mart.first_plausible_day() and mart.last_plausible_day();
comment on view core_live.operations is 'operations that the source still has, of plausible days. Grain: client, component type, operation';

-- Ordered as mart.cheques orders, but over all clients: a cheque that is live under two counts once,
-- for the client whose row was seen last.
create view core_live.cheques as
select distinct on (cheque_id)
    cheque_id,
    client_id,
    operation_date,
    processed_at,
    operation_id,
    component_type,
    cheque_number,
    order_id,
    parent_id,
    pos_id,
    partner_name,
    coalesce(is_refund, false) as is_refund,
    coalesce(amount, 0)::numeric(19, 2) as amount,
    case when is_refund then -abs(coalesce(amount, 0)) else coalesce(amount, 0) end
    ::numeric(19, 2) as net_amount,
    coalesce(redeemed, 0)::numeric(19, 2) as redeemed,
    coalesce(discount, 0)::numeric(19, 2) as discount,
    coalesce(certificate_redeemed, 0)::numeric(19, 2) as certificate_redeemed,
    coupon_number,
    first_seen_at,
    synced_at
from core_live.operations
where cheque_id <> 0
order by
    cheque_id asc,
    (coalesce(bonus_id, 0) <> 0) asc,
    (operation_id <> cheque_id) asc,
    (amount is null) asc,
    first_seen_at desc,
    operation_date asc,
    component_type asc,
    client_id asc,
    operation_id asc;
comment on view core_live.cheques is 'each cheque once, over all rows and clients that name it. Grain: cheque';

create view core_live.leads as
select *
from core.leads
where
    deleted_at is null
    and lead_date between mart.first_plausible_day() and mart.last_plausible_day();
comment on view core_live.leads is 'leads that the source still has, of plausible days. Grain: client, lead';

create view core_live.favourite_offers as
select *
from core.favourite_offers
where
    deleted_at is null
    and offer_date between mart.first_plausible_day() and mart.last_plausible_day();
comment on view core_live.favourite_offers is 'offers of favourites that the source still has, of plausible days. Grain: client, offer';

create view core_live.favourite_goods as
select * from core.favourite_goods
where deleted_at is null;
comment on view core_live.favourite_goods is 'goods of offers that the source still has. Grain: client, offer, good';

create view core_live.favourite_groups as
select * from core.favourite_groups
where deleted_at is null;
comment on view core_live.favourite_groups is 'goods chosen by clients that the source still has. Grain: client, group';

-- Rows that vanished from one client and live on with another: cards were merged.
create view core_live.moved_clients as
with moves as (
    select
        gone.client_id,
        present.client_id as current_client_id,
        count(*) as moved_rows,
        max(gone.deleted_at) as moved_at
    from core.operations as gone
    inner join core.operations as present
        on
            present.component_type = gone.component_type
            and present.operation_id = gone.operation_id
            and present.client_id <> gone.client_id
            and present.deleted_at is null
    where gone.deleted_at is not null
    group by gone.client_id, present.client_id
)

select distinct on (moves.client_id)
    moves.client_id,
    moves.current_client_id,
    moves.moved_rows,
    moves.moved_at
from moves
where
    not exists (
        select from core.operations as left_over
        where left_over.client_id = moves.client_id and left_over.deleted_at is null
    )
order by moves.client_id asc, moves.moved_rows desc, moves.moved_at desc, moves.current_client_id asc;
comment on view core_live.moved_clients is 'clients without a live operation whose rows live on with another client: the one with most of them. Grain: client that moved';

create view core_live.clients as
select
    clients.client_id,
    coalesce(moved_clients.current_client_id, clients.client_id) as current_client_id,
    registered.registration_date,
    clients.pos_id,
    clients.phone,
    registered.cards,
    moved_clients.moved_at,
    clients.first_seen_at,
    clients.synced_at
from core.clients
left join core_live.moved_clients on moved_clients.client_id = clients.client_id
left join (
    select
        client_id,
        min(registration_date) as registration_date,
        count(*) as cards
    from core_live.registrations
    group by client_id
) as registered on registered.client_id = clients.client_id;
comment on view core_live.clients is 'clients, with whom their history lives on. Grain: client';

-- What a column of core means, it means here too.
do $$
declare
    found record;
begin
    for found in
        select
            shown.attrelid::regclass as view_name,
            shown.attname,
            coalesce(
                col_description(told.attrelid, told.attnum),
                case shown.attname
                    when 'net_amount' then 'amount of a purchase; minus the absolute amount of a refund'
                    when 'current_client_id' then 'client who has the history now; the client itself when it did not move'
                    when 'moved_rows' then 'operations that live on with that client'
                    when 'moved_at' then 'when the last of them was seen to be gone; null when none is'
                    when 'cards' then 'registrations of the client that the source still has'
                    else ''
                end
            ) as meaning
        from pg_attribute as shown
        inner join pg_class as views on views.oid = shown.attrelid
        left join pg_attribute as told
            on
                told.attrelid
                = to_regclass(
                    'core.' || case views.relname when 'cheques' then 'operations' when 'moved_clients' then 'clients' else views.relname end
                )
                and told.attname = shown.attname
        where
            views.relnamespace = 'core_live'::regnamespace
            and shown.attnum > 0
    loop
        execute format('comment on column %s.%I is %L', found.view_name, found.attname, found.meaning);
    end loop;
end;
$$;

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant usage on schema core_live to lcm_loader;
        grant select on all tables in schema core_live to lcm_loader;
        alter default privileges in schema core_live grant select on tables to lcm_loader;
        grant select, insert, update, delete on mart.calendar_exceptions to lcm_loader;
    end if;
    -- As core is: these show phones and card numbers, so lcm_bi, which reads mart alone, has no part.
    if exists (select from pg_roles where rolname = 'lcm_analyst') then
        grant usage on schema core_live to lcm_analyst;
        grant select on all tables in schema core_live to lcm_analyst;
        alter default privileges in schema core_live grant select on tables to lcm_analyst;
        grant select on mart.calendar_exceptions to lcm_analyst;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_bi') then
        grant select on mart.calendar_exceptions to lcm_bi;
    end if;
end;
$$;
