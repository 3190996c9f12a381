-- purpose: slots of stopped processes go to the others; a removed push does not read all updates

alter table sync.request_slots add column reported_at timestamptz not null default clock_timestamp();
comment on column sync.request_slots.reported_at is 'when the process last reported what it wants: several times a second while it holds a slot. A minute later its slots are free';

-- Each push that is deleted looks for its undo, as a foreign key does too.
create index profile_updates_of_undos on outbox.profile_updates (undo_of) where undo_of is not null;
