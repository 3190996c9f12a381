-- sync.forgotten_clients: erasing a person, and keeping it from coming back

-- name: forgotten_clients
-- purpose: the hashes of those who were erased, with the digests of their keys
select
    client_hash,
    key_digest
from sync.forgotten_clients;

-- name: forget_key
-- purpose: the key that was made, where none was set
select key from sync.forget_key;

-- name: store_forget_key
-- purpose: keep a key that was made; returns the one that is kept
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
-- purpose: note that a person was erased
-- parameters: client_hash, key_digest
insert into sync.forgotten_clients (client_hash, key_digest)
values (%(client_hash)s, %(key_digest)s)
on conflict do nothing;

-- name: forgotten_at
-- purpose: when a person was erased; no row where it was not
-- parameters: client_hashes
select forgotten_at
from sync.forgotten_clients
where client_hash = any(%(client_hashes)s);

-- name: knows_client
-- purpose: whether any row of the roster, of the outbox or of the quarantine is of a client
-- parameters: client_id
select
    exists (select from core.clients where client_id = %(client_id)s)
    or exists (select from core.registrations where client_id = %(client_id)s)
    or exists (select from outbox.profile_updates where client_id = %(client_id)s)
    or exists (select from sync.quarantine where client_id = %(client_id)s) as is_known;

-- name: client_columns
-- purpose: the tables that tell of clients, by the column that does; partitions are their parents'
select
    pg_namespace.nspname as schema_name,
    pg_class.relname as table_name,
    pg_attribute.attname as column_name
from pg_attribute
inner join pg_class on pg_class.oid = pg_attribute.attrelid
inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
where
    pg_attribute.attname in ('client_id', 'current_client_id')
    and not pg_attribute.attisdropped
    and pg_class.relkind in ('r', 'p')
    and not pg_class.relispartition
    and pg_namespace.nspname in ('core', 'history', 'mart', 'refresh', 'sync', 'staging', 'outbox')
order by 1, 2, 3;

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
-- purpose: let rows be those of a number that stands for nobody
-- parameters: client_id, stand_in; {table} and {client_column} say where
update {table} set {client_column} = %(stand_in)s where {client_column} = %(client_id)s;

-- name: number_cards
-- purpose: numbers that stand for the cards of a client
-- parameters: client_id
-- In the order of the cards: of two that are as old, the marts take the lower number for the first.
create temp table card_numbers on commit drop as
select
    cards.card_number,
    chance.beginning + row_number() over (order by cards.card_number) as stand_in
from (select -1000000 - (random() * 9e17)::bigint as beginning) as chance
cross join (
    select card_number from core.registrations where client_id = %(client_id)s
    union
    select card_number from core.cards where client_id = %(client_id)s
) as cards;

-- name: erase_registrations
-- purpose: leave nothing personal in the registrations of a client
-- parameters: client_id
update core.registrations
set card_number = card_numbers.stand_in, out_number = null, extra = null
from card_numbers
where
    registrations.client_id = %(client_id)s
    and registrations.card_number = card_numbers.card_number;

-- name: erase_cards
-- purpose: leave nothing personal in the cards of a client
-- parameters: client_id
update core.cards
set card_number = card_numbers.stand_in
from card_numbers
where cards.client_id = %(client_id)s and cards.card_number = card_numbers.card_number;

-- name: erase_clients
-- purpose: leave nothing personal in the row of a client
-- parameters: client_id
update core.clients set phone = null, extra = null where client_id = %(client_id)s;

-- name: erase_client_versions
-- purpose: leave nothing personal in the earlier rows of a client
-- parameters: client_id
update history.clients set phone = null, extra = null where client_id = %(client_id)s;

-- name: erase_operations
-- purpose: leave nothing personal in operations of a client; the ids of cheques stay, as sums need them
-- parameters: client_id; {table} is core.operations or its history
update {table}
set
    cheque_number = null,
    coupon_number = case when coupon_number <> '' then 'erased' end,
    extra = null
where client_id = %(client_id)s;

-- name: erase_leads
-- purpose: leave nothing personal in leads of a client: a subject is what the client wrote
-- parameters: client_id; {table} is core.leads or its history
update {table} set subject = null, extra = null where client_id = %(client_id)s;

-- name: erase_favourites
-- purpose: leave nothing personal in tables of favourites of a client
-- parameters: client_id; {table} is one of them
update {table} set extra = null where client_id = %(client_id)s;

-- name: reopen_days_of_client
-- purpose: let the registration days of a client be polled anew, without the client
-- parameters: client_id
update sync.registration_days
set
    source_total = registration_days.source_total - found.rows,
    fingerprint = null,
    version = version + 1
from (
    select registration_date, count(*) as rows
    from core.registrations
    where client_id = %(client_id)s and deleted_at is null
    group by registration_date
) as found
where registration_days.registration_date = found.registration_date;

-- name: retire_stand_in
-- purpose: nobody is asked for the number that stands for an erased person
-- parameters: stand_in
insert into sync.retired_clients (client_id, retired_at, reason)
values (%(stand_in)s, now(), 'forgotten');

-- name: erase_state
-- purpose: what is known of a client's rows is known of nobody's; parts of it quote what the service said
-- parameters: client_id
update sync.client_state
set pending_since = null, last_error = null, fingerprint = null, head = null, header_digest = null
where client_id = %(client_id)s;

-- name: erase_errors_of_runs
-- purpose: the errors of runs name a client
-- parameters: name (a pattern)
update sync.runs set error = null where error ~ %(name)s;

-- name: delete_attempts_of_client
-- purpose: delete what was tried for the profile of a client
-- parameters: client_id
delete from outbox.attempts
using outbox.profile_updates as updates
where updates.update_id = attempts.update_id and updates.client_id = %(client_id)s;

-- name: lower_totals_of_client
-- purpose: rows in quarantine that are deleted are no rows of the source any more
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
