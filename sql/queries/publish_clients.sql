-- purpose: the roster: first registration of each client, and its newest known phone
-- parameters: run_id
-- A row without a registration comes from the operations, which alone tell the phone: null is none.
-- The version that is replaced goes to history; but a first version that only lacked its phone, which
-- the next feed tells, is completed, or each client would begin with a version that says nothing.
with seen as (
    select
        client_id,
        min(registered_at) as registered_at,
        min(registration_date) as registration_date,
        (array_agg(pos_id order by registered_at, pos_id)
            filter (where registered_at is not null))[1] as pos_id,
        bool_or(registered_at is null) as tells_phone,
        (array_agg(phone order by read_at desc) filter (where registered_at is null))[1] as phone
    from incoming_clients
    group by client_id
),

merged as (
    select
        seen.client_id,
        least(stored.registered_at, seen.registered_at) as registered_at,
        least(stored.registration_date, seen.registration_date) as registration_date,
        case
            when stored.registered_at <= seen.registered_at or seen.registered_at is null
                then stored.pos_id
            else seen.pos_id
        end as pos_id,
        case when seen.tells_phone then seen.phone else stored.phone end as phone
    from seen
    left join core.clients as stored on stored.client_id = seen.client_id
),

changed as (
    select *
    from merged
    where
        not exists (
            select from core.clients as same
            where
                same.client_id = merged.client_id
                and (same.registered_at, same.registration_date, same.pos_id, same.phone)
                is not distinct from
                (merged.registered_at, merged.registration_date, merged.pos_id, merged.phone)
        )
),

replaced as (
    insert into history.clients (
        client_id, registered_at, registration_date, pos_id, phone, extra, sync_run_id,
        first_seen_at, synced_at, valid_from, valid_to
    )
    select
        stored.client_id, stored.registered_at, stored.registration_date, stored.pos_id,
        stored.phone, stored.extra, stored.sync_run_id, stored.first_seen_at, stored.synced_at,
        stored.synced_at, now()
    from changed
    inner join core.clients as stored on stored.client_id = changed.client_id
    where
        stored.phone is not null
        or stored.synced_at <> stored.first_seen_at
        or (stored.registered_at, stored.registration_date, stored.pos_id)
        is distinct from
        (changed.registered_at, changed.registration_date, changed.pos_id)
)

insert into core.clients as stored
    (client_id, registered_at, registration_date, pos_id, phone,
        sync_run_id, first_seen_at, synced_at)
select client_id, registered_at, registration_date, pos_id, phone, %(run_id)s, now(), now()
from changed
on conflict (client_id) do update set
    registered_at = excluded.registered_at,
    registration_date = excluded.registration_date,
    pos_id = excluded.pos_id,
    phone = excluded.phone,
    sync_run_id = excluded.sync_run_id,
    synced_at = excluded.synced_at;
