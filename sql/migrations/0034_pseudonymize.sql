-- purpose: which keys phones and cards are hashed with, so that none is mixed with another

-- The keys themselves are in LCM_PSEUDONYM_KEY and LCM_PSEUDONYM_OLD_KEYS alone. A value that was
-- stored is hashed again with each key that is added: hash(key 2, hash(key 1, value)).
create table sync.pseudonym_keys (
    key_number integer not null,
    key_digest bytea not null,
    through_client bigint,
    completed_at timestamptz,
    primary key (key_number),
    check (key_number > 0)
);
comment on table sync.pseudonym_keys is 'the keys that phones and cards were hashed with, in order; no row while they are stored as they came. Grain: key';
comment on column sync.pseudonym_keys.key_number is 'from 1: each hash is hashed again with the next key';
comment on column sync.pseudonym_keys.key_digest is 'which key it is: a digest of the key';
comment on column sync.pseudonym_keys.through_client is 'how far the rewriting has come: the last client; null before the first, and when all is done';
comment on column sync.pseudonym_keys.completed_at is 'when everything stored was rewritten; null while some is not';
comment on column core.clients.phone is 'phone, 10 digits (OperationHistory); below -4611686018427387904 a keyed hash of it, see docs/privacy.md';
comment on column core.cards.card_number is 'card (Card); below -4611686018427387904 a keyed hash of it, see docs/privacy.md';
comment on column core.registrations.card_number is 'card (Card); below -4611686018427387904 a keyed hash of it, see docs/privacy.md';
