-- purpose: locks that nobody can hold but who may write the warehouse

-- An advisory lock can be held by every login, also by one of lcm_bi. These tables hold no row: a
-- process locks one for the length of its transaction, which takes the right to write to it.
create table sync.publish_lock (lock_id integer, primary key (lock_id));
comment on table sync.publish_lock is 'locked by who publishes, so that publishes follow each other. Never a row';
comment on column sync.publish_lock.lock_id is 'never filled';
create table sync.refresh_lock (lock_id integer, primary key (lock_id));
comment on table sync.refresh_lock is 'locked by who refreshes marts, so that refreshes follow each other. Never a row';
comment on column sync.refresh_lock.lock_id is 'never filled';
create table sync.partitions_lock (lock_id integer, primary key (lock_id));
comment on table sync.partitions_lock is 'locked by who makes the table of a month, so that it is made once. Never a row';
comment on column sync.partitions_lock.lock_id is 'never filled';
create table sync.request_slots_lock (lock_id integer, primary key (lock_id));
comment on table sync.request_slots_lock is 'locked by who shares out the slots of LCM_MAX_IN_FLIGHT. Never a row';
comment on column sync.request_slots_lock.lock_id is 'never filled';
