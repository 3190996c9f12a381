-- purpose: what the sync knows of itself: runs, ledger, proven state, quarantine, reconciliation

create schema sync;
comment on schema sync is 'runs, the fetch ledger, per-client state, quarantine and reconciliation';
create schema staging;
comment on schema staging is 'unlogged landing tables of running syncs, one set per run';

create table sync.runs (
    run_id bigint not null generated always as identity,
    feed text not null,
    window_from date not null,
    window_to date not null,
    status text not null default 'reading',
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    requests bigint not null default 0,
    retries bigint not null default 0,
    clients integer not null default 0,
    pending integer not null default 0,
    rows_read bigint not null default 0,
    rows_written bigint not null default 0,
    rows_deleted bigint not null default 0,
    quarantined integer not null default 0,
    error text,
    primary key (run_id)
);
create index on sync.runs (feed, window_from, window_to);
comment on table sync.runs is 'one reading of a feed for a window of days';
comment on column sync.runs.run_id is 'the run';
comment on column sync.runs.feed is 'registrations, operations, leads or favourites';
comment on column sync.runs.window_from is 'first business day';
comment on column sync.runs.window_to is 'last business day';
comment on column sync.runs.status is 'reading, published, abandoned or stopped';
comment on column sync.runs.started_at is 'when the run began';
comment on column sync.runs.finished_at is 'when it ended';
comment on column sync.runs.requests is 'requests sent, over all its starts';
comment on column sync.runs.retries is 'requests sent again after a failure';
comment on column sync.runs.clients is 'clients (days, for registrations) to read';
comment on column sync.runs.pending is 'of them not proven when the run ended';
comment on column sync.runs.rows_read is 'rows staged';
comment on column sync.runs.rows_written is 'rows of core inserted or changed';
comment on column sync.runs.rows_deleted is 'rows marked as deleted';
comment on column sync.runs.quarantined is 'bad rows met';
comment on column sync.runs.error is 'why it stopped';

create table sync.fetches (
    run_id bigint not null references sync.runs,
    client_id bigint not null,
    window_from date not null,
    window_to date not null,
    endpoint text not null,
    status text not null default 'pending',
    is_whole boolean not null default false,
    is_priority boolean not null default false,
    attempts integer not null default 0,
    reading text,
    has_header boolean not null default false,
    single_page integer not null default 0,
    rows integer,
    staged integer not null default 0,
    quarantined integer not null default 0,
    base_version bigint not null default 0,
    read_at timestamptz,
    fingerprint bytea,
    head bytea,
    header_digest bytea,
    error text,
    primary key (run_id, client_id, window_from)
);
alter table sync.fetches set (fillfactor = 70);
comment on table sync.fetches is 'the ledger: one row per client (or registration day), feed and window';
comment on column sync.fetches.run_id is 'the run';
comment on column sync.fetches.client_id is 'the client; 0 for a registration day';
comment on column sync.fetches.window_from is 'first day of the window; the day itself for registrations';
comment on column sync.fetches.window_to is 'last day of the window';
comment on column sync.fetches.endpoint is 'the feed';
comment on column sync.fetches.status is 'pending, done (staged), published, superseded, unproven or failed';
comment on column sync.fetches.is_whole is 'to be read in full by the audit, though it looks unchanged';
comment on column sync.fetches.is_priority is 'was pending before, so it is read first';
comment on column sync.fetches.attempts is 'readings tried';
comment on column sync.fetches.reading is 'unchanged, delta or full';
comment on column sync.fetches.has_header is 'the header was staged';
comment on column sync.fetches.single_page is 'rows in the one page that held everything; 0 when several did';
comment on column sync.fetches.rows is 'distinct rows that the source has';
comment on column sync.fetches.staged is 'records staged';
comment on column sync.fetches.quarantined is 'bad rows among them';
comment on column sync.fetches.base_version is 'version of the state that the reading was held against';
comment on column sync.fetches.read_at is 'when the reading began';
comment on column sync.fetches.fingerprint is 'of all rows';
comment on column sync.fetches.head is 'digests of the newest rows';
comment on column sync.fetches.header_digest is 'digest of the header';
comment on column sync.fetches.error is 'why it is not proven';

create table sync.client_state (
    endpoint text not null,
    client_id bigint not null,
    source_total integer,
    fingerprint bytea,
    head bytea,
    header_digest bytea,
    quarantined integer not null default 0,
    version bigint not null default 0,
    read_at timestamptz,
    pending_since timestamptz,
    last_error text,
    primary key (endpoint, client_id)
);
alter table sync.client_state set (fillfactor = 70);
create index on sync.client_state (endpoint) where pending_since is not null;
comment on table sync.client_state is 'what is known of each client and feed since its last proven reading';
comment on column sync.client_state.endpoint is 'the feed';
comment on column sync.client_state.client_id is 'the client';
comment on column sync.client_state.source_total is 'rows that the source had';
comment on column sync.client_state.fingerprint is 'of those rows';
comment on column sync.client_state.head is 'digests of the newest rows, for long histories';
comment on column sync.client_state.header_digest is 'digest of the header';
comment on column sync.client_state.quarantined is 'of those rows in quarantine';
comment on column sync.client_state.version is 'counts the published changes';
comment on column sync.client_state.read_at is 'when the last proven reading began';
comment on column sync.client_state.pending_since is 'when it first failed after the last proven reading; null when proven';
comment on column sync.client_state.last_error is 'why it is pending';

create table sync.registration_days (
    registration_date date not null,
    source_total integer,
    fingerprint bytea,
    head bytea,
    header_digest bytea,
    quarantined integer not null default 0,
    version bigint not null default 0,
    read_at timestamptz,
    pending_since timestamptz,
    last_error text,
    primary key (registration_date)
);
comment on table sync.registration_days is 'what is known of each registration day since it was last polled';
comment on column sync.registration_days.registration_date is 'the day';
comment on column sync.registration_days.source_total is 'rows that the source had';
comment on column sync.registration_days.fingerprint is 'of those rows';
comment on column sync.registration_days.head is 'digests of the newest rows, for long histories';
comment on column sync.registration_days.header_digest is 'digest of the header';
comment on column sync.registration_days.quarantined is 'of those rows in quarantine';
comment on column sync.registration_days.version is 'counts the published changes';
comment on column sync.registration_days.read_at is 'when the last proven reading began';
comment on column sync.registration_days.pending_since is 'when it first failed after the last proven reading; null when proven';
comment on column sync.registration_days.last_error is 'why it is pending';

create table sync.paging_habits (
    endpoint text not null,
    base integer not null,
    trusted_page integer not null,
    primary key (endpoint)
);
comment on table sync.paging_habits is 'how each endpoint was seen to page';
comment on column sync.paging_habits.endpoint is 'the feed';
comment on column sync.paging_habits.base is 'number of the first row, 1 as documented';
comment on column sync.paging_habits.trusted_page is 'pages of up to so many rows were seen to end where the total says';

create table sync.quarantine (
    quarantine_id bigint not null generated always as identity,
    endpoint text not null,
    client_id bigint not null,
    row_digest bytea not null,
    table_name text not null,
    reason text not null,
    raw text not null,
    context text not null default '',
    first_seen_at timestamptz not null default now(),
    sync_run_id bigint not null,
    resolved_at timestamptz,
    primary key (quarantine_id)
);
create unique index on sync.quarantine (endpoint, client_id, row_digest, context);
create index on sync.quarantine (endpoint) where resolved_at is null;
comment on table sync.quarantine is 'rows that do not fit the contract, kept as they came';
comment on column sync.quarantine.quarantine_id is 'the entry';
comment on column sync.quarantine.endpoint is 'the feed';
comment on column sync.quarantine.client_id is 'the client; 0 where the row has none';
comment on column sync.quarantine.row_digest is 'digest of raw';
comment on column sync.quarantine.table_name is 'table that the row was meant for';
comment on column sync.quarantine.reason is 'what does not fit';
comment on column sync.quarantine.raw is 'the row as JSON';
comment on column sync.quarantine.context is 'what the row belongs to: the offer, the registration day';
comment on column sync.quarantine.first_seen_at is 'when it was first met';
comment on column sync.quarantine.sync_run_id is 'run that met it';
comment on column sync.quarantine.resolved_at is 'when it was taken in, or the source no longer had it; null while open';

create table sync.window_days (
    endpoint text not null,
    day date not null,
    run_id bigint not null,
    published_at timestamptz not null,
    clients integer not null,
    pending integer not null,
    primary key (endpoint, day)
);
comment on table sync.window_days is 'days whose window was published, per feed';
comment on column sync.window_days.endpoint is 'the feed';
comment on column sync.window_days.day is 'the business day';
comment on column sync.window_days.run_id is 'run that published it last';
comment on column sync.window_days.published_at is 'when';
comment on column sync.window_days.clients is 'clients registered by the end of the day';
comment on column sync.window_days.pending is 'of them not proven then';

create table sync.reconciliations (
    reconciliation_id bigint not null generated always as identity,
    endpoint text not null,
    checked_at timestamptz not null default now(),
    clients integer not null,
    differing integer not null,
    source_rows bigint not null,
    warehouse_rows bigint not null,
    quarantined_rows bigint not null,
    primary key (reconciliation_id)
);
comment on table sync.reconciliations is 'totals of the source held against the warehouse';
comment on column sync.reconciliations.reconciliation_id is 'the entry';
comment on column sync.reconciliations.endpoint is 'the feed';
comment on column sync.reconciliations.checked_at is 'when';
comment on column sync.reconciliations.clients is 'clients compared';
comment on column sync.reconciliations.differing is 'clients whose totals differ';
comment on column sync.reconciliations.source_rows is 'rows that the source claims';
comment on column sync.reconciliations.warehouse_rows is 'live rows of core';
comment on column sync.reconciliations.quarantined_rows is 'open rows of quarantine';

create table sync.unknown_fields (
    endpoint text not null,
    field_name text not null,
    first_seen_at timestamptz not null default now(),
    primary key (endpoint, field_name)
);
comment on table sync.unknown_fields is 'fields that the contract does not know, met in answers';
comment on column sync.unknown_fields.endpoint is 'the feed';
comment on column sync.unknown_fields.field_name is 'the field';
comment on column sync.unknown_fields.first_seen_at is 'when it was first met';
