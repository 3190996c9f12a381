-- purpose: note when a publish changed a client, so that a refresh looks for new rows among these alone

alter table refresh.changed_clients add column changed_at timestamptz not null default '-infinity';
-- The time of the transaction, as synced_at of the rows that it wrote.
alter table refresh.changed_clients alter column changed_at set default now();
comment on column refresh.changed_clients.changed_at is 'when the publish began that changed it: synced_at of its rows is the same';

alter table refresh.scope add column changed_at timestamptz;
comment on column refresh.scope.changed_at is 'since when its operations have changed; null for clients that none changed';
