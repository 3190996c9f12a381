-- sync.pseudonym_keys: the keys with which phones and cards are hashed, and the rewrite of stored rows

-- name: pseudonym_keys
-- purpose: the keys in their order, and the progress of the rewrite with each
select
    key_digest,
    through_client,
    completed_at is not null as is_complete
from sync.pseudonym_keys
order by key_number;

-- name: wait_for_pseudonym_key
-- purpose: wait for transactions that write keys; to be called before the keys are read
lock table sync.pseudonym_keys in share mode;

-- name: begin_pseudonym_key
-- purpose: record that the rewrite with a key has begun
-- parameters: key_number, key_digest, is_complete (nothing is stored yet)
insert into sync.pseudonym_keys (key_number, key_digest, completed_at)
values (%(key_number)s, %(key_digest)s, case when %(is_complete)s then now() end)
on conflict (key_number) do nothing;

-- name: pass_pseudonym_clients
-- purpose: record the progress of the rewrite
-- parameters: key_number, through_client
update sync.pseudonym_keys
set through_client = %(through_client)s
where key_number = %(key_number)s;

-- name: complete_pseudonym_key
-- purpose: record that the rewrite with a key is complete
-- parameters: key_number
update sync.pseudonym_keys
set through_client = null, completed_at = now()
where key_number = %(key_number)s;

-- name: has_personal_rows
-- purpose: whether any stored row may contain a phone or a card
select
    exists (select from core.clients)
    or exists (select from core.registrations)
    or exists (select from sync.quarantine) as has_rows;

-- name: personal_columns_of_expired_months
-- purpose: columns for phones and unknown fields, of months that are no longer held and wait for removal
-- Also of those whose detachment has begun: their table does not show them any more.
select
    pg_namespace.nspname as schema_name,
    pg_class.relname as table_name,
    pg_attribute.attname as column_name
from pg_attribute
inner join pg_class on pg_class.oid = pg_attribute.attrelid
inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
left join pg_inherits on pg_inherits.inhrelid = pg_class.oid
where
    pg_namespace.nspname in ('core', 'history')
    and pg_class.relkind = 'r'
    and pg_class.relname ~ '_[0-9]{6}$'
    and coalesce(pg_inherits.inhdetachpending, true)
    and pg_attribute.attname in ('phone', 'extra')
    and not pg_attribute.attisdropped
    and exists (
        select from pg_class as whole
        where
            whole.relnamespace = pg_class.relnamespace
            and whole.relname = left(pg_class.relname, -7)
            and whole.relkind = 'p'
    )
order by 1, 2, 3;

-- name: empty_column
-- purpose: empty a column of a month that waits for removal
-- {table}, {emptied_column}
update {table} set {emptied_column} = null
where {emptied_column} is not null;

-- name: next_pseudonym_clients
-- purpose: the last client of the next batch
-- parameters: after, most
select max(client_id) as client_id
from (
    select client_id from core.clients
    where client_id > %(after)s
    order by client_id
    limit %(most)s
) as batch;

-- name: phones_of_clients
-- purpose: the stored phones of some clients
-- parameters: after, through
select phone from core.clients
where client_id > %(after)s and client_id <= %(through)s and phone is not null
union
select phone from history.clients
where client_id > %(after)s and client_id <= %(through)s and phone is not null;

-- name: cards_of_clients
-- purpose: the stored card numbers of some clients
-- parameters: after, through
-- The random numbers that replaced the cards of an erased person belong to no card: they stay, outside
-- of the range of hashes.
with listed as (
    select client_id, unnest(array[card_number, out_number]) as number from core.registrations
    where client_id > %(after)s and client_id <= %(through)s
    union all
    select client_id, unnest(array[card_number, out_number]) as number from core.cards
    where client_id > %(after)s and client_id <= %(through)s
)

select distinct number
from listed
where
    number is not null
    and not exists (
        select from sync.retired_clients as erased
        where erased.client_id = listed.client_id and erased.reason = 'forgotten'
    );

-- name: replace_numbers
-- purpose: replace numbers of some clients with hashes
-- parameters: after, through, numbers, replacements (in the same order); in {table}.{number_column}
update {table} as stored
set {number_column} = replaced.made
from unnest(%(numbers)s::bigint[], %(replacements)s::bigint[]) as replaced (known, made)
where
    stored.client_id > %(after)s
    and stored.client_id <= %(through)s
    and stored.{number_column} = replaced.known;

-- name: header_digests_of_clients
-- purpose: the digests of headers of some clients: a header contains the phone
-- parameters: after, through
select
    feed,
    client_id,
    header_digest
from sync.client_state
where
    feed in (select feeds.feed from sync.feeds)
    and client_id > %(after)s
    and client_id <= %(through)s
    and header_digest is not null;

-- name: replace_header_digests
-- purpose: replace the digests of headers with keyed ones
-- parameters: feeds, clients, digests (in the same order)
update sync.client_state as state
set header_digest = replaced.digest
from unnest(%(feeds)s::text[], %(clients)s::bigint[], %(digests)s::bytea[])
    as replaced (feed, client_id, digest)
where state.feed = replaced.feed and state.client_id = replaced.client_id;

-- name: quarantine_of_clients
-- purpose: the rows in quarantine of some clients, or those without a client (without_client)
-- parameters: after, through, without_client
select
    quarantine_id,
    raw,
    row_digest
from sync.quarantine
where
    case
        when %(without_client)s then client_id is null
        else client_id > %(after)s and client_id <= %(through)s
    end;

-- name: replace_quarantine
-- purpose: replace the texts and digests of rows in quarantine with masked texts and keyed digests
-- parameters: ids, raws, digests (in the same order)
update sync.quarantine
set raw = replaced.raw, row_digest = replaced.digest
from unnest(%(ids)s::bigint[], %(raws)s::text[], %(digests)s::bytea[])
    as replaced (quarantine_id, raw, digest)
where quarantine.quarantine_id = replaced.quarantine_id;

-- name: extras_of_clients
-- purpose: fields that the payload definition does not know, of some clients
-- parameters: after, through; in {table}
select
    tableoid::bigint as place_table,
    ctid::text as place,
    extra::text as extra
from {table}
where client_id > %(after)s and client_id <= %(through)s and extra is not null;

-- name: replace_extras
-- purpose: replace such fields with masked ones
-- parameters: tables, places, extras (in the same order); in {table}
update {table} as stored
set extra = replaced.extra::jsonb
from unnest(%(tables)s::bigint[], %(places)s::text[], %(extras)s::text[])
    as replaced (place_table, place, extra)
where
    stored.tableoid::bigint = replaced.place_table
    and stored.ctid = replaced.place::tid;

-- name: digests_of_days
-- purpose: the digests of registration days: a registration contains a card
select
    registration_date,
    fingerprint
from sync.registration_days
where fingerprint is not null;

-- name: replace_digests_of_days
-- purpose: replace the digests of registration days with keyed ones
-- parameters: days, digests (in the same order)
update sync.registration_days
set fingerprint = replaced.digest
from unnest(%(days)s::date[], %(digests)s::bytea[]) as replaced (day, digest)
where registration_days.registration_date = replaced.day;

-- name: reread_staged_tasks
-- purpose: reopen the tasks of unfinished runs that were staged with another key
update sync.fetches
set status = 'pending', claimed_by = null
from sync.runs
where runs.run_id = fetches.run_id and runs.status = 'reading' and fetches.status = 'done';

-- name: forget_digests_of_tasks
-- purpose: clear the digests in the ledger that were computed with another key
update sync.fetches
set header_digest = null, fingerprint = case when day is null then fingerprint end
where header_digest is not null or (day is not null and fingerprint is not null);

-- name: staged_tables
-- purpose: the staging tables with phones or cards
select tablename
from pg_tables
where schemaname = 'staging' and tablename ~ '^(registrations|clients)_r[0-9]+$';
