-- purpose: one row per card, as its newest live registration tells
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
