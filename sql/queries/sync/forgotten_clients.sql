-- sync.forgotten_clients: erasing persons, and recognizing them so that no sync restores them

-- name: forgotten_clients
-- purpose: the hashes of those who were erased, with the digests of their keys
select
    client_hash,
    key_digest
from sync.forgotten_clients;

-- name: count_forgotten
-- purpose: the number of persons who were erased
select count(*) as persons from sync.forgotten_clients;

-- name: forget_key
-- purpose: the generated key, if none was set
select key from sync.forget_key;

-- name: store_forget_key
-- purpose: store a generated key; returns the stored one
-- parameters: key
with stored as (
    insert into sync.forget_key (key) values (%(key)s)
    on conflict do nothing
    returning key
)

select key from stored
union all
select key from sync.forget_key
limit 1;

-- name: remember_forgotten
-- purpose: record that a person was erased
-- parameters: client_hash, key_digest
insert into sync.forgotten_clients (client_hash, key_digest)
values (%(client_hash)s, %(key_digest)s)
on conflict do nothing;

-- name: store_receipt
-- purpose: store the receipt of an erasure, for a command that ends before it has printed it
-- parameters: client_hash, receipt
update sync.forgotten_clients
set receipt = %(receipt)s
where client_hash = %(client_hash)s;

-- name: receipt_of_client
-- purpose: when a person was erased, and the receipt if it was stored; no row if it was not erased
-- parameters: client_hashes
select
    forgotten_at,
    receipt
from sync.forgotten_clients
where client_hash = any(%(client_hashes)s);

-- name: disclosed_erasures
-- purpose: what is stored about the erasure of a person, as JSON
-- parameters: client_hashes
select row_to_json(forgotten_clients.*)::text as disclosed
from sync.forgotten_clients
where client_hash = any(%(client_hashes)s)
order by forgotten_at;

-- name: marts_of_clients
-- purpose: the materialized views of mart that list clients, or count rows of the source
select 'data_completeness' as relname
union
select pg_class.relname
from pg_class
inner join pg_attribute on pg_attribute.attrelid = pg_class.oid
where
    pg_class.relnamespace = 'mart'::regnamespace
    and pg_class.relkind = 'm'
    and pg_attribute.attname in ('client_id', 'current_client_id');

-- name: delete_client
-- purpose: delete the rows of a client
-- parameters: client_id; {table} and {client_column} say where
delete from {table} where {client_column} = %(client_id)s;

-- name: replace_client
-- purpose: assign the rows of a client to an id that belongs to no client
-- parameters: client_id, stand_in; {table} and {client_column} say where
update {table} set {client_column} = %(stand_in)s where {client_column} = %(client_id)s;

-- name: number_cards
-- purpose: assign random numbers to the cards of a client
-- parameters: client_id
-- In the order of the cards: of two equally old cards, the marts take the lower number as the first.
-- is_foreign: the card belongs to another client now, who keeps its number.
create temp table card_numbers on commit drop as
select
    cards.card_number,
    chance.beginning + row_number() over (order by cards.card_number) as stand_in,
    exists (
        select from core.cards as present
        where present.card_number = cards.card_number and present.client_id <> %(client_id)s
    ) as is_foreign
from (select -1000000 - (random() * 9e17)::bigint as beginning) as chance
cross join (
    select card_number from core.registrations where client_id = %(client_id)s
    union
    select card_number from core.cards where client_id = %(client_id)s
) as cards;

-- name: mask_numbers_of_client
-- purpose: mask the cards and phones of a client in quarantined rows that name no client, or another
-- parameters: client_id, pattern (pattern_of_numbers, before the numbers are erased)
update sync.quarantine
set raw = regexp_replace(raw, %(pattern)s::text, '[number]', 'g')
where
    client_id is distinct from %(client_id)s
    and raw ~ %(pattern)s::text;

-- name: erase_registrations
-- purpose: remove personal data from the registrations of a client
-- parameters: client_id
update core.registrations
set card_number = card_numbers.stand_in, out_number = null, extra = null
from card_numbers
where
    registrations.client_id = %(client_id)s
    and registrations.card_number = card_numbers.card_number;

-- name: erase_cards_of_former_clients
-- purpose: remove the cards of a client from the registrations of those who had them before
-- parameters: client_id
update core.registrations
set card_number = card_numbers.stand_in, out_number = null, extra = null
from card_numbers
where
    registrations.card_number = card_numbers.card_number
    and registrations.client_id <> %(client_id)s
    and not card_numbers.is_foreign;

-- name: leave_merged_clients
-- purpose: clear who has the cards of retired clients; they stay retired
-- parameters: client_id
update sync.retired_clients
set current_client_id = null
where current_client_id = %(client_id)s;

-- name: erase_cards
-- purpose: remove personal data from the cards of a client
-- parameters: client_id
update core.cards
set card_number = card_numbers.stand_in, out_number = null, extra = null
from card_numbers
where cards.client_id = %(client_id)s and cards.card_number = card_numbers.card_number;

-- name: erase_clients
-- purpose: remove personal data from the row of a client
-- parameters: client_id
update core.clients set phone = null, extra = null where client_id = %(client_id)s;

-- name: erase_client_versions
-- purpose: remove personal data from the earlier versions of a client
-- parameters: client_id
update history.clients set phone = null, extra = null where client_id = %(client_id)s;

-- name: erase_operations
-- purpose: remove personal data from operations of a client; ids of cheques stay, as sums need them
-- parameters: client_id; {table} is core.operations or its history
update {table}
set
    cheque_number = null,
    coupon_number = case when coupon_number <> '' then 'erased' end,
    extra = null
where client_id = %(client_id)s;

-- name: erase_leads
-- purpose: remove personal data from leads of a client: the client wrote the subject
-- parameters: client_id; {table} is core.leads or its history
update {table} set subject = null, extra = null where client_id = %(client_id)s;

-- name: erase_favourites
-- purpose: remove personal data from a table of favourites of a client
-- parameters: client_id; {table} is one of them
update {table} set extra = null where client_id = %(client_id)s;

-- name: reopen_days_of_client
-- purpose: mark the registration days of a client for another poll, which skips the client
-- parameters: client_id
-- Its rows in quarantine are deleted, so the totals may not include them either.
update sync.registration_days
set
    source_total = registration_days.source_total - found.rows,
    fingerprint = null,
    version = version + 1
from (
    select registration_date, count(*) as rows
    from (
        select registration_date
        from core.registrations
        where client_id = %(client_id)s and deleted_at is null
        union all
        select day as registration_date
        from sync.quarantine
        where client_id = %(client_id)s and day is not null and resolved_at is null
    ) as counted
    group by registration_date
) as found
where registration_days.registration_date = found.registration_date;

-- name: retire_stand_in
-- purpose: retire the id that replaces an erased person, so that no request is sent for it
-- parameters: stand_in
insert into sync.retired_clients (client_id, retired_at, reason)
values (%(stand_in)s, now(), 'forgotten');

-- name: erase_state
-- purpose: clear the sync state of an erased client, parts of which quote responses
-- parameters: client_id
update sync.client_state
set pending_since = null, last_error = null, fingerprint = null, head = null, header_digest = null
where client_id = %(client_id)s;

-- name: erase_errors_of_runs
-- purpose: erase a client from the errors of runs
-- parameters: name (a pattern)
update sync.runs set error = null where error ~ %(name)s;

-- name: delete_attempts_of_client
-- purpose: delete the attempts to update the profile of a client
-- parameters: client_id
delete from outbox.attempts
using outbox.profile_updates as updates
where updates.update_id = attempts.update_id and updates.client_id = %(client_id)s;

-- name: lower_totals_of_client
-- purpose: subtract the deleted quarantined rows of a client from its totals
-- parameters: client_id
update sync.client_state as state
set source_total = state.source_total - held.rows
from (
    select
        quarantine.feed,
        count(*) as rows
    from sync.quarantine
    inner join sync.feeds
        on feeds.feed = quarantine.feed and feeds.main_table = quarantine.table_name
    where quarantine.client_id = %(client_id)s and quarantine.resolved_at is null
    group by quarantine.feed
) as held
where state.feed = held.feed and state.client_id = %(client_id)s;
