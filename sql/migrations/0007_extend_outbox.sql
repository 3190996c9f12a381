-- purpose: pushes, every attempt, and what was sent with what was known before: to resume and to undo

create table outbox.pushes (
    push_id bigint not null generated always as identity,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    requested_by text not null default current_user,
    status text not null default 'running'
        check (status in ('running', 'done', 'stopped', 'interrupted', 'died')),
    undo_of bigint references outbox.pushes,
    last_update_id bigint not null,
    sent_count integer not null default 0,
    unchanged_count integer not null default 0,
    partial_count integer not null default 0,
    rejected_count integer not null default 0,
    failed_count integer not null default 0,
    unknown_count integer not null default 0,
    held_back_count integer not null default 0,
    left_count integer not null default 0,
    request_count integer not null default 0,
    error text,
    primary key (push_id)
);
create index on outbox.pushes (status) where status = 'running';
comment on table outbox.pushes is 'one row per run of lcm push';
comment on column outbox.pushes.push_id is 'the push';
comment on column outbox.pushes.started_at is 'when it began';
comment on column outbox.pushes.finished_at is 'when it ended; for one that died, when the next one found it';
comment on column outbox.pushes.requested_by is 'who ran it';
comment on column outbox.pushes.status is 'running, done, stopped (the error says why), interrupted, or died (its process was killed)';
comment on column outbox.pushes.undo_of is 'the push that it takes back; null for an ordinary one';
comment on column outbox.pushes.last_update_id is 'the newest update when it began: later ones are for the next push';
comment on column outbox.pushes.sent_count is 'updates that the API took';
comment on column outbox.pushes.unchanged_count is 'updates with nothing to send: equal to what was sent last';
comment on column outbox.pushes.partial_count is 'updates that the API took with a Message';
comment on column outbox.pushes.rejected_count is 'updates that were found wrong and not sent';
comment on column outbox.pushes.failed_count is 'updates that the API refused for good';
comment on column outbox.pushes.unknown_count is 'updates left in sending: no answer came';
comment on column outbox.pushes.held_back_count is 'updates left pending: to be tried again, or behind one of their client that is';
comment on column outbox.pushes.left_count is 'other updates left pending: beyond --max, or the push stopped before them';
comment on column outbox.pushes.request_count is 'requests sent, logins and retries included';
comment on column outbox.pushes.error is 'why it stopped; ids and field names only';

alter table outbox.profile_updates
    add column push_id bigint references outbox.pushes,
    add column claimed_at timestamptz,
    add column sent_values jsonb,
    add column known_before jsonb,
    add column undo_of bigint references outbox.pushes,
    add column load_digest bytea;
create index on outbox.profile_updates (update_id) where status in ('pending', 'sending');
create index on outbox.profile_updates (client_id, update_id) where sent_values is not null;
create index on outbox.profile_updates (push_id);
create index on outbox.profile_updates (load_digest) where status in ('pending', 'sending');
comment on column outbox.profile_updates.push_id is 'the push that took it last';
comment on column outbox.profile_updates.claimed_at is 'when a push last took it; null before';
comment on column outbox.profile_updates.sent_values is 'fields and values really sent; {} when all were equal to those last sent, so that there was no request; null when it was never sent';
comment on column outbox.profile_updates.known_before is 'for the fields of sent_values, the values known before; a field that is missing was not known';
comment on column outbox.profile_updates.undo_of is 'the push whose values it puts back; null when it is nobody''s undo';
comment on column outbox.profile_updates.load_digest is 'SHA-256 of the file that it came from; null when it came by SQL';
comment on column outbox.profile_updates.client_id is 'the client (Client); unknown to core.clients: rejected';
comment on column outbox.profile_updates.name is 'new name, at most 20 characters; null leaves it as it is';
comment on column outbox.profile_updates.surname is 'new surname, at most 20 characters; null leaves it as it is';
comment on column outbox.profile_updates.patronymic is 'new patronymic, at most 20 characters; null leaves it as it is';
comment on column outbox.profile_updates.allow_sms is 'consent to SMS; false is applied too; null leaves it as it is';
comment on column outbox.profile_updates.allow_email is 'consent to e-mail; false is applied too; null leaves it as it is';
comment on column outbox.profile_updates.birthdate is 'new birthdate, from 1900-01-01 to today; null leaves it as it is';
comment on column outbox.profile_updates.phone is 'new phone, 10 digits that start with 9; null leaves it as it is';
comment on column outbox.profile_updates.email is 'new e-mail, at most 50 characters; null leaves it as it is';
comment on column outbox.profile_updates.gender is '1 male, -1 female; 0 and null leave it as it is';
comment on column outbox.profile_updates.pos_code is 'point of sale that asks for the change; sent along with other fields, never alone';
comment on column outbox.profile_updates.allow_email_online_cheque is 'consent to receipts by e-mail; false is applied too; null leaves it as it is';
comment on column outbox.profile_updates.contragent_id is 'id of the client in another system; null leaves it as it is';
comment on column outbox.profile_updates.status is 'pending, sending (on its way, or its answer was lost), sent, partial (taken with a Message: not all of it may hold), rejected (never sent) or failed (refused by the API)';
comment on column outbox.profile_updates.last_error is 'why it is rejected, partial, failed or still waiting; ids and field names only';

create table outbox.attempts (
    update_id bigint not null references outbox.profile_updates,
    attempt_number integer not null,
    push_id bigint not null references outbox.pushes,
    began_at timestamptz not null default now(),
    ended_at timestamptz,
    field_names text[] not null,
    outcome text check (outcome in ('sent', 'partial', 'failed', 'unknown', 'not sent')),
    error_code integer,
    error_class text,
    error text,
    primary key (update_id, attempt_number)
);
create index on outbox.attempts (push_id);
comment on table outbox.attempts is 'every attempt to send an update';
comment on column outbox.attempts.update_id is 'the update';
comment on column outbox.attempts.attempt_number is 'from 1';
comment on column outbox.attempts.push_id is 'the push that tried';
comment on column outbox.attempts.began_at is 'when the update was marked as sending, before the request left';
comment on column outbox.attempts.ended_at is 'when the answer was noted; null when the process died before';
comment on column outbox.attempts.field_names is 'the fields that were sent, without their values';
comment on column outbox.attempts.outcome is 'sent, partial, failed, unknown (no answer: it may have been applied) or not sent (it never left); null when the process died';
comment on column outbox.attempts.error_code is 'ErrorCode of the answer; null when there was no answer';
comment on column outbox.attempts.error_class is 'kind of the failure, as in loyalty_api/errors.py';
comment on column outbox.attempts.error is 'what came back, without personal data';

-- Profiles are personal data: whatever a database grants by default, readers have no way in.
do $$
declare
    reader text;
begin
    revoke all on schema outbox from public;
    revoke all on all tables in schema outbox from public;
    foreach reader in array array['lcm_analyst', 'lcm_bi'] loop
        if exists (select from pg_roles where rolname = reader) then
            execute format('revoke all on schema outbox from %I', reader);
            execute format('revoke all on all tables in schema outbox from %I', reader);
        end if;
    end loop;
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant usage on schema outbox to lcm_loader;
        grant select, insert, update, delete on all tables in schema outbox to lcm_loader;
        grant usage on all sequences in schema outbox to lcm_loader;
    end if;
end;
$$;
