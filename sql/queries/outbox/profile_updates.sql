-- outbox.profile_updates and outbox.attempts: updates and their outcomes

-- name: next_updates
-- purpose: the next updates to send, oldest first, and when one of unknown outcome may be sent again
-- parameters: after, last_update_id, undo_of (null for all), most
-- A request whose response was lost was sent, at the latest, when its attempt or its push ended.
select
    updates.update_id,
    updates.client_id,
    case when updates.status = 'sending'
        then extract(epoch from now() - coalesce(
            pushes.finished_at,
            (
                select max(tried.ended_at)
                from outbox.attempts as tried
                where tried.update_id = updates.update_id
            ),
            updates.claimed_at
        ))::float
    end as seconds_since
from outbox.profile_updates as updates
left join outbox.pushes on pushes.push_id = updates.push_id
where
    updates.status in ('pending', 'sending')
    and updates.update_id > %(after)s
    and updates.update_id <= %(last_update_id)s
    and (%(undo_of)s::bigint is null or updates.undo_of = %(undo_of)s)
order by updates.update_id
limit %(most)s;

-- name: lock_update
-- purpose: lock an update to send, until the end of the transaction
-- parameters: update_id
-- No row: it is deleted, withdrawn or sent, or another session edits it, which is not waited for.
select update_id from outbox.profile_updates
where update_id = %(update_id)s and status in ('pending', 'sending')
for update skip locked;

-- name: read_updates
-- purpose: waiting updates, with what a push needs to decide about them
-- parameters: update_ids
-- The birthdate is text, as the column may hold a date that Python cannot represent.
select
    updates.status,
    updates.attempts,
    updates.sent_values,
    updates.update_id,
    updates.client_id,
    jsonb_strip_nulls(jsonb_build_object(
        'name', updates.name,
        'surname', updates.surname,
        'patronymic', updates.patronymic,
        'allow_sms', updates.allow_sms,
        'allow_email', updates.allow_email,
        'birthdate', case
            when isfinite(updates.birthdate) then to_char(updates.birthdate, 'YYYY-MM-DD')
            else updates.birthdate::text
        end,
        'phone', updates.phone,
        'email', updates.email,
        'gender', updates.gender,
        'pos_code', updates.pos_code,
        'allow_email_online_cheque', updates.allow_email_online_cheque,
        'contragent_id', updates.contragent_id
    )) as requested_values,
    exists (
        select from core.clients where clients.client_id = updates.client_id
    ) as is_known_client,
    array(
        select distinct jsonb_object_keys(newer.sent_values)
        from outbox.profile_updates as newer
        where
            newer.client_id = updates.client_id
            and newer.update_id > updates.update_id
            and newer.sent_values is not null
    ) as overtaken
from outbox.profile_updates as updates
where updates.update_id = any(%(update_ids)s::bigint[]) and updates.status in ('pending', 'sending')
order by updates.update_id;

-- name: known_values
-- purpose: the known profiles of some clients: the value of each field, and its origin
-- parameters: client_ids
-- A field is known from the last update that the API accepted completely; the phone also from a
-- reading that began later. After any other outcome of an update its fields are unknown.
with touched as (
    select distinct on (updates.client_id, sent.column_name)
        updates.client_id,
        sent.column_name,
        sent.value,
        updates.status = 'sent' as is_taken,
        coalesce(updates.sent_at, updates.claimed_at) as touched_at
    from outbox.profile_updates as updates
    cross join lateral jsonb_each(updates.sent_values) as sent (column_name, value)
    where updates.client_id = any(%(client_ids)s::bigint[]) and updates.sent_values is not null
    order by updates.client_id, sent.column_name, updates.update_id desc
),

shown as (
    select
        clients.client_id,
        'phone' as column_name,
        to_jsonb(clients.phone) as value,
        state.read_at
    from core.clients
    left join sync.client_state as state
        on state.feed = 'operations' and state.client_id = clients.client_id
    -- A keyed hash, which is below 0, is no phone that could be sent back.
    where clients.client_id = any(%(client_ids)s::bigint[]) and clients.phone > 0
),

joined as (
    select
        coalesce(touched.client_id, shown.client_id) as client_id,
        coalesce(touched.column_name, shown.column_name) as column_name,
        touched.value as sent_value,
        coalesce(touched.is_taken, false) as is_taken,
        shown.value as shown_value,
        shown.value is not null
        and (touched.column_name is null or coalesce(shown.read_at > touched.touched_at, false))
            as is_shown_later
    from touched
    full join shown
        on shown.client_id = touched.client_id and shown.column_name = touched.column_name
)

select
    client_id,
    column_name,
    case when is_shown_later then shown_value else sent_value end as value,
    is_taken and (not is_shown_later or shown_value = sent_value) as is_last_sent
from joined
where is_shown_later or is_taken;

-- name: claim_update
-- purpose: mark an update as sending, with the values that are sent
-- parameters: update_id, push_id, values, before
-- tag: update-claimed
update outbox.profile_updates
set
    status = 'sending',
    push_id = %(push_id)s,
    attempts = attempts + 1,
    claimed_at = now(),
    sent_values = %(values)s,
    known_before = coalesce(%(before)s, known_before),
    last_error = null
where update_id = %(update_id)s;

-- name: record_attempt
-- purpose: record an attempt to send an update, with the names of its fields
-- parameters: update_id, push_id, field_names
insert into outbox.attempts (update_id, attempt_number, push_id, field_names)
select update_id, attempts, %(push_id)s, %(field_names)s
from outbox.profile_updates
where update_id = %(update_id)s;

-- name: finish_update
-- purpose: record the outcome of an attempt, on the attempt and on its update
-- parameters: update_id, attempt_number, status, outcome, error_code, error_class, error
-- tag: update-finished
with noted as (
    update outbox.attempts
    set
        outcome = %(outcome)s,
        error_code = %(error_code)s,
        error_class = %(error_class)s,
        error = %(error)s,
        ended_at = now()
    where update_id = %(update_id)s and attempt_number = %(attempt_number)s
)

update outbox.profile_updates
set
    status = %(status)s,
    last_error = %(error)s,
    sent_at = case when %(status)s in ('sent', 'partial') then now() end,
    sent_values = case when %(status)s <> 'pending' then sent_values end,
    known_before = case when %(status)s <> 'pending' then known_before end
where update_id = %(update_id)s and status = 'sending';

-- name: close_unchanged_update
-- purpose: close an update whose fields are all equal to the values sent last
-- parameters: update_id, push_id
update outbox.profile_updates
set
    status = 'sent',
    push_id = %(push_id)s,
    sent_values = '{}',
    known_before = '{}',
    sent_at = now()
where update_id = %(update_id)s;

-- name: reject_update
-- purpose: reject an update that breaks a rule; it is never sent
-- parameters: update_id, push_id, error
-- tag: update-rejected
update outbox.profile_updates
set status = 'rejected', push_id = %(push_id)s, last_error = %(error)s
where update_id = %(update_id)s;

-- name: set_update_aside
-- purpose: reject an update that cannot be checked, or leave it if an earlier request may be in flight
-- parameters: update_id, push_id, error
update outbox.profile_updates
set
    status = case status when 'pending' then 'rejected' else status end,
    push_id = %(push_id)s,
    last_error = %(error)s
where update_id = %(update_id)s and status in ('pending', 'sending')
returning status;

-- name: put_back_refused_updates
-- purpose: make the updates that the API refused in a push pending again
-- parameters: push_id
update outbox.profile_updates
set status = 'pending', sent_values = null, known_before = null
where push_id = %(push_id)s and status = 'failed';

-- name: take_rejected_rows
-- purpose: assign the rejected rows of a loaded file to the push that it was loaded for
-- parameters: push_id
update outbox.profile_updates
set push_id = %(push_id)s
where push_id is null and status = 'rejected' and load_digest is not null;

-- name: stuck_updates
-- purpose: updates that wait for another attempt, and the number of updates that each holds back
-- parameters: undo_of (null for all), most
select
    updates.update_id,
    updates.client_id,
    updates.status,
    updates.attempts,
    updates.last_error,
    (
        select count(*)
        from outbox.profile_updates as later
        where
            later.client_id = updates.client_id
            and later.update_id > updates.update_id
            and later.status = 'pending'
    ) as behind
from outbox.profile_updates as updates
where
    updates.status in ('pending', 'sending')
    and updates.attempts > 0
    and (%(undo_of)s::bigint is null or updates.undo_of = %(undo_of)s)
order by updates.update_id
limit %(most)s;

-- name: outbox_state
-- purpose: what waits in the outbox, whether a push is running, and how the last one ended
with waiting as (
    select
        count(*) as waiting,
        count(*) filter (where status = 'sending') as sending,
        max(update_id) as newest_id
    from outbox.profile_updates
    where status in ('pending', 'sending')
),

last_push as (
    select
        push_id,
        status,
        last_update_id,
        extract(epoch from now() - coalesce(finished_at, started_at))::float as seconds_since
    from outbox.pushes
    order by push_id desc
    limit 1
)

select
    waiting.waiting,
    waiting.sending,
    coalesce(waiting.newest_id, 0) as newest_id,
    exists (select from sync.session_locks where session_locks.kind = 'push') as is_pushing,
    last_push.push_id as last_push_id,
    last_push.status as last_status,
    coalesce(last_push.last_update_id, 0) as last_update_id,
    last_push.seconds_since
from waiting
left join last_push on true;

-- name: count_waiting
-- purpose: the number of updates that a push may still send
-- parameters: last_update_id, undo_of
select count(*)
from outbox.profile_updates
where
    status in ('pending', 'sending')
    and update_id <= %(last_update_id)s
    and (%(undo_of)s::bigint is null or undo_of = %(undo_of)s);

-- name: is_load_waiting
-- purpose: whether rows of a file are already waiting
-- parameters: digest
-- A rejected row waits too, until a push is assigned, so that a killed load is not loaded twice.
select
    exists (
        select from outbox.profile_updates
        where load_digest = %(digest)s and status in ('pending', 'sending')
    ) or exists (
        select from outbox.profile_updates
        where load_digest = %(digest)s and status = 'rejected' and push_id is null
    ) as is_waiting;

-- name: is_undo_waiting
-- purpose: whether updates that undo a push are waiting
-- parameters: push_id
select exists (
    select from outbox.profile_updates
    where undo_of = %(push_id)s and status in ('pending', 'sending')
) as is_waiting;

-- name: disclosed_attempts
-- purpose: the attempts to update the profile of a client, each as JSON
-- parameters: client_id
select row_to_json(tried.*)::text as disclosed
from outbox.attempts as tried
inner join outbox.profile_updates as updates on updates.update_id = tried.update_id
where updates.client_id = %(client_id)s
order by tried.update_id, tried.attempt_number;
