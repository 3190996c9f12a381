-- core.clients and core.cards: published from registrations and operations

-- name: publish_clients
-- purpose: the roster: first registration of each client, and its newest known phone
-- parameters: run_id
-- Only operations report the phone; their rows have no registration, and a null phone means none. The
-- replaced version goes to history. A first version that lacked only its phone is completed instead:
-- the next feed reports it, and otherwise each client would start with a version without a phone.
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

-- name: publish_cards
-- purpose: one row per card, with the data of its newest live registration
-- parameters: run_id
with touched as (
    select card_number from changed_registrations
    union
    select card_number from gone_registrations
),

newest as (
    select distinct on (card_number)
        card_number, client_id, out_number, is_virtual, card_type, card_status
    from core.registrations
    inner join touched using (card_number)
    where deleted_at is null
    order by card_number asc, registered_at desc, client_id desc
)

insert into core.cards as stored
    (card_number, client_id, out_number, is_virtual, card_type, card_status,
        sync_run_id, first_seen_at, synced_at)
select
    card_number, client_id, out_number, is_virtual, card_type, card_status,
    %(run_id)s, now(), now()
from newest
on conflict (card_number) do update set
    client_id = excluded.client_id,
    out_number = excluded.out_number,
    is_virtual = excluded.is_virtual,
    card_type = excluded.card_type,
    card_status = excluded.card_status,
    sync_run_id = excluded.sync_run_id,
    synced_at = excluded.synced_at
where
    (stored.client_id, stored.out_number, stored.is_virtual, stored.card_type, stored.card_status)
    is distinct from
    (excluded.client_id, excluded.out_number, excluded.is_virtual, excluded.card_type,
        excluded.card_status);

-- name: count_new_clients
-- purpose: the registration day with the most new clients, and their number
-- Days that were polled before count together, as null.
select
    case when polled.read_at is null then incoming.registration_date end as day,
    count(distinct incoming.client_id) as clients
from incoming_clients as incoming
left join core.clients as stored on stored.client_id = incoming.client_id
left join sync.registration_days as polled
    on polled.registration_date = incoming.registration_date
where incoming.registration_date is not null and stored.client_id is null
group by 1
order by 2 desc
limit 1;

-- name: count_vanished_phones
-- purpose: the number of clients of a publish whose phone the source no longer has, and of all with a phone
with newest as (
    select distinct on (client_id)
        client_id,
        phone
    from incoming_clients
    where registered_at is null
    order by client_id asc, read_at desc
)

select
    (
        select count(*)
        from newest
        inner join core.clients as stored on stored.client_id = newest.client_id
        where newest.phone is null and stored.phone is not null
    ) as vanished,
    (
        select count(*)
        from publishing
        inner join core.clients as stored on stored.client_id = publishing.client_id
        where stored.phone is not null
    ) as covered;

-- name: clients_in_roster
-- purpose: those of some clients that are in the roster
-- parameters: client_ids
select client_id
from core.clients
where client_id = any(%(client_ids)s);

-- name: count_other_clients
-- purpose: the number of known clients, without those that earlier batches of the run inserted
-- parameters: run_id
select count(*)
from core.clients
cross join sync.runs
where
    runs.run_id = %(run_id)s
    and (runs.publishing_since is null or clients.first_seen_at < runs.publishing_since);
