-- As in 0020, but the store is that of the registration that the day is of. core.clients keeps both of the
-- first registration ever reported, whose card may belong to another client now.
create or replace view core_live.clients as
select
    clients.client_id,
    coalesce(moved_clients.current_client_id, clients.client_id) as current_client_id,
    registered.registration_date,
    case
        when registered.client_id is null then clients.pos_id
        else registered.pos_id
    end as pos_id,
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
        (array_agg(pos_id order by registered_at, card_number))[1] as pos_id,
        count(*) as cards
    from core_live.registrations
    group by client_id
) as registered on registered.client_id = clients.client_id;

comment on column core_live.clients.registration_date is 'business day of the first registration that the source still has; null when it has none';
comment on column core_live.clients.pos_id is 'point of sale of that registration; of the first ever reported when the source has none';
comment on column core.clients.registered_at is 'first registration of any card, also of one that another client has now';
