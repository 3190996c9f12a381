-- purpose: persons who were erased, so that no sync brings them back

-- Who was erased is known by a keyed hash alone. The key is LCM_PSEUDONYM_KEY; without it one is made
-- and kept here, which is weaker: whoever reads both can try all numbers of clients.
create table sync.forgotten_clients (
    client_hash bytea not null,
    key_digest bytea not null,
    forgotten_at timestamptz not null default now(),
    primary key (client_hash)
);
comment on table sync.forgotten_clients is 'persons who were erased; no sync takes them in again. Grain: client';
comment on column sync.forgotten_clients.client_hash is 'keyed hash of the client (BLAKE2b)';
comment on column sync.forgotten_clients.key_digest is 'which key it was made with: a digest of the key';
comment on column sync.forgotten_clients.forgotten_at is 'when';

create table sync.forget_key (
    key_id integer not null default 1,
    key bytea not null,
    primary key (key_id),
    check (key_id = 1)
);
comment on table sync.forget_key is 'the key of the hashes, where LCM_PSEUDONYM_KEY was not set. One row at most';
comment on column sync.forget_key.key_id is 'always 1';
comment on column sync.forget_key.key is 'the key';

alter table sync.retired_clients
    drop constraint retired_clients_reason_check,
    add check (reason in ('refused', 'merged', 'manual', 'forgotten'));
comment on column sync.retired_clients.reason is 'refused, merged, manual (lcm retire) or forgotten (lcm forget: a number in the place of a person); null while it is still read';
