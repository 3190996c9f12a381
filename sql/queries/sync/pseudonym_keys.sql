-- sync.pseudonym_keys: the keys that phones and cards are hashed with, and the rewriting of what is stored

-- name: pseudonym_keys
-- purpose: the keys in their order, and how far the rewriting with each has come
select
    key_digest,
    through_client,
    completed_at is not null as is_complete
from sync.pseudonym_keys
order by key_number;

-- name: wait_for_pseudonym_key
-- purpose: wait for transactions that write keys, which is before the keys are read
lock table sync.pseudonym_keys in share mode;

-- name: begin_pseudonym_key
-- purpose: note that what is stored is being rewritten with a key
-- parameters: key_number, key_digest, is_complete (nothing is stored yet)
insert into sync.pseudonym_keys (key_number, key_digest, completed_at)
values (%(key_number)s, %(key_digest)s, case when %(is_complete)s then now() end)
on conflict (key_number) do nothing;

-- name: pass_pseudonym_clients
-- purpose: note how far the rewriting has come
-- parameters: key_number, through_client
update sync.pseudonym_keys
set through_client = %(through_client)s
where key_number = %(key_number)s;

-- name: complete_pseudonym_key
-- purpose: note that everything that is stored was rewritten with a key
-- parameters: key_number
update sync.pseudonym_keys
set through_client = null, completed_at = now()
where key_number = %(key_number)s;

-- name: has_personal_rows
-- purpose: whether anything is stored that holds a phone or a card
select
    exists (select from core.clients)
    or exists (select from core.registrations)
    or exists (select from sync.quarantine) as has_rows;

-- name: next_pseudonym_clients
-- purpose: the last of the next clients, the end of a batch
-- parameters: after, most
select max(client_id) as client_id
from (
    select client_id from core.clients
    where client_id > %(after)s
    order by client_id
    limit %(most)s
) as batch;

-- name: phones_of_clients
-- purpose: the phones that are stored of some clients
-- parameters: after, through
select phone from core.clients
where client_id > %(after)s and client_id <= %(through)s and phone is not null
union
select phone from history.clients
where client_id > %(after)s and client_id <= %(through)s and phone is not null;

-- name: cards_of_clients
-- purpose: the numbers of cards that are stored of some clients
-- parameters: after, through
select card_number from core.registrations
where client_id > %(after)s and client_id <= %(through)s
union
select out_number from core.registrations
where client_id > %(after)s and client_id <= %(through)s and out_number is not null
union
select card_number from core.cards
where client_id > %(after)s and client_id <= %(through)s
union
select out_number from core.cards
where client_id > %(after)s and client_id <= %(through)s and out_number is not null;

-- name: replace_numbers
-- purpose: put hashes in the place of numbers of some clients
-- parameters: after, through, numbers, replacements (in the same order); {table} and {number_column} say where
update {table} as stored
set {number_column} = replaced.made
from unnest(%(numbers)s::bigint[], %(replacements)s::bigint[]) as replaced (known, made)
where
    stored.client_id > %(after)s
    and stored.client_id <= %(through)s
    and stored.{number_column} = replaced.known;

-- name: header_digests_of_clients
-- purpose: the digests of headers of some clients: a header holds the phone
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
-- purpose: put keyed digests in the place of those of headers
-- parameters: feeds, clients, digests (in the same order)
update sync.client_state as state
set header_digest = replaced.digest
from unnest(%(feeds)s::text[], %(clients)s::bigint[], %(digests)s::bytea[])
    as replaced (feed, client_id, digest)
where state.feed = replaced.feed and state.client_id = replaced.client_id;

-- name: quarantine_of_clients
-- purpose: the rows in quarantine of some clients, or of none (without_client)
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
-- purpose: put texts without numbers, and keyed digests, in the place of rows in quarantine
-- parameters: ids, raws, digests (in the same order)
update sync.quarantine
set raw = replaced.raw, row_digest = replaced.digest
from unnest(%(ids)s::bigint[], %(raws)s::text[], %(digests)s::bytea[])
    as replaced (quarantine_id, raw, digest)
where quarantine.quarantine_id = replaced.quarantine_id;

-- name: extras_of_clients
-- purpose: fields that the contract does not know, of some clients
-- parameters: after, through; {table} says where
select
    tableoid::bigint as place_table,
    ctid::text as place,
    extra::text as extra
from {table}
where client_id > %(after)s and client_id <= %(through)s and extra is not null;

-- name: replace_extras
-- purpose: put fields without numbers in the place of those that are stored
-- parameters: tables, places, extras (in the same order); {table} says where
update {table} as stored
set extra = replaced.extra::jsonb
from unnest(%(tables)s::bigint[], %(places)s::text[], %(extras)s::text[])
    as replaced (place_table, place, extra)
where
    stored.tableoid::bigint = replaced.place_table
    and stored.ctid = replaced.place::tid;

-- name: digests_of_days
-- purpose: the digests of registration days: a registration holds a card
select
    registration_date,
    fingerprint
from sync.registration_days
where fingerprint is not null;

-- name: replace_digests_of_days
-- purpose: put keyed digests in the place of those of registration days
-- parameters: days, digests (in the same order)
update sync.registration_days
set fingerprint = replaced.digest
from unnest(%(days)s::date[], %(digests)s::bytea[]) as replaced (day, digest)
where registration_days.registration_date = replaced.day;

-- name: reread_staged_tasks
-- purpose: let unfinished runs read again what they have staged with another key
update sync.fetches
set status = 'pending', claimed_by = null
from sync.runs
where runs.run_id = fetches.run_id and runs.status = 'reading' and fetches.status = 'done';

-- name: forget_digests_of_tasks
-- purpose: forget the digests on the ledger that were made with another key
update sync.fetches
set header_digest = null, fingerprint = case when day is null then fingerprint end
where header_digest is not null or (day is not null and fingerprint is not null);

-- name: staged_tables
-- purpose: the landing tables that hold phones or cards
select tablename
from pg_tables
where schemaname = 'staging' and tablename ~ '^(registrations|clients)_r[0-9]+$';
