-- outbox.pushes: pushes of one process each, and their undo

-- name: begin_push
-- purpose: begin a push; it sends the updates that exist now
-- parameters: requested_by, undo_of
-- tag: push-begun
insert into outbox.pushes (requested_by, undo_of, last_update_id)
select %(requested_by)s, %(undo_of)s, coalesce(max(update_id), 0)
from outbox.profile_updates
returning push_id, last_update_id;

-- name: close_push
-- purpose: end a push and count its updates by outcome
-- parameters: push_id, status, error, requests
-- tag: push-closed
with counted as (
    select
        count(*) filter (where status = 'sent' and sent_values <> '{}') as sent,
        count(*) filter (where status = 'sent' and sent_values = '{}') as unchanged,
        count(*) filter (where status = 'partial') as partial,
        count(*) filter (where status = 'rejected') as rejected,
        count(*) filter (where status = 'failed') as failed
    from outbox.profile_updates
    where push_id = %(push_id)s
),

waiting as (
    select
        count(*) filter (where updates.status = 'sending') as unknown,
        count(*) filter (where updates.status = 'pending' and held.is_held_back) as held_back,
        count(*) filter (where updates.status = 'pending' and not held.is_held_back) as left_over
    from outbox.profile_updates as updates
    inner join outbox.pushes on pushes.push_id = %(push_id)s
    cross join lateral (
        select updates.attempts > 0 or exists (
            select from outbox.profile_updates as earlier
            where
                earlier.client_id = updates.client_id
                and earlier.update_id < updates.update_id
                and earlier.status in ('pending', 'sending')
                and earlier.attempts > 0
        ) as is_held_back
    ) as held
    where
        updates.status in ('pending', 'sending')
        and updates.update_id <= pushes.last_update_id
        and (pushes.undo_of is null or updates.undo_of = pushes.undo_of)
)

update outbox.pushes
set
    status = %(status)s,
    error = %(error)s,
    finished_at = now(),
    request_count = %(requests)s,
    sent_count = counted.sent,
    unchanged_count = counted.unchanged,
    partial_count = counted.partial,
    rejected_count = counted.rejected,
    failed_count = counted.failed,
    unknown_count = waiting.unknown,
    held_back_count = waiting.held_back,
    left_count = waiting.left_over
from counted, waiting
where pushes.push_id = %(push_id)s
returning
    pushes.push_id,
    pushes.status,
    pushes.undo_of,
    counted.sent,
    counted.unchanged,
    counted.partial,
    counted.rejected,
    counted.failed,
    waiting.unknown,
    waiting.held_back,
    waiting.left_over,
    pushes.request_count as requests,
    extract(epoch from pushes.finished_at - pushes.started_at)::float as seconds,
    pushes.error;

-- name: close_dead_pushes
-- purpose: close the pushes of processes that ended without closing them
update outbox.pushes
set status = 'died', finished_at = now(), error = 'its process ended'
where status = 'running';

-- name: was_pushing
-- purpose: whether a push is running, or has just ended
-- parameters: quiet (seconds)
select
    exists (select from sync.session_locks where kind = 'push')
    or exists (
        select from outbox.pushes where finished_at > now() - make_interval(secs => %(quiet)s)
    ) as was_pushing;

-- name: reasons_of_push
-- purpose: the reasons why updates of a push were rejected, partial or failed, most frequent first
-- parameters: push_id, most
select
    status,
    coalesce(last_error, '') as reason,
    count(*) as updates,
    min(update_id) as first_update_id
from outbox.profile_updates
where push_id = %(push_id)s and status in ('rejected', 'partial', 'failed')
group by status, last_error
order by updates desc, first_update_id
limit %(most)s;

-- name: find_undo
-- purpose: the fields that a push sent: the value before it, or why it cannot be restored
-- parameters: push_id
-- A field counts once for a client, with the value before the push's first update of it.
with pushed as (
    select distinct on (updates.client_id, sent.column_name)
        updates.client_id,
        sent.column_name,
        updates.update_id,
        updates.known_before -> sent.column_name as value
    from outbox.profile_updates as updates
    cross join lateral jsonb_object_keys(updates.sent_values) as sent (column_name)
    where
        updates.push_id = %(push_id)s
        and (
            updates.status in ('sent', 'partial', 'sending')
            -- A lost request before the failed one may have applied the update.
            or updates.status = 'failed' and exists (
                select from outbox.attempts as tried
                where tried.update_id = updates.update_id and tried.outcome = 'unknown'
            )
        )
        and sent.column_name <> 'pos_code'
    order by updates.client_id, sent.column_name, updates.update_id
),

followed as (
    select
        pushed.*,
        (
            select min(waiting.update_id)
            from outbox.profile_updates as waiting
            where
                waiting.client_id = pushed.client_id
                and waiting.status in ('pending', 'sending')
                and coalesce(to_jsonb(waiting) -> pushed.column_name, 'null') <> 'null'
        ) as waiting_id,
        (
            select max(later.update_id)
            from outbox.profile_updates as later
            where
                later.client_id = pushed.client_id
                and later.update_id > pushed.update_id
                and later.push_id <> %(push_id)s
                and later.status in ('sent', 'partial')
                and jsonb_exists(later.sent_values, pushed.column_name)
        ) as later_id
    from pushed
)

select
    client_id,
    column_name,
    update_id,
    value,
    case
        when waiting_id is not null then format('update %%s of it waits', waiting_id)
        when later_id is not null then format('update %%s has changed it since', later_id)
        when value is null then 'the value before is not known'
    end as obstacle
from followed
order by update_id desc, column_name;

-- name: store_undo
-- purpose: add updates that undo a push to the outbox, one per client, in reverse order
-- parameters: push_id, requested_by, client_ids, values (an object of columns for each client)
insert into outbox.profile_updates (
    client_id, name, surname, patronymic, allow_sms, allow_email, birthdate, phone, email, gender,
    allow_email_online_cheque, contragent_id, requested_by, undo_of
)
select
    opposite.client_id,
    fields.name,
    fields.surname,
    fields.patronymic,
    fields.allow_sms,
    fields.allow_email,
    fields.birthdate,
    fields.phone,
    fields.email,
    fields.gender,
    fields.allow_email_online_cheque,
    fields.contragent_id,
    %(requested_by)s,
    %(push_id)s
from
    unnest(%(client_ids)s::bigint[], %(values)s::jsonb[])
    with ordinality as opposite (client_id, values, position)
cross join lateral jsonb_populate_record(null::outbox.profile_updates, opposite.values) as fields
order by opposite.position;

-- name: has_pushes
-- purpose: whether the migration that made pushes was applied
select to_regclass('outbox.pushes') is not null as has_pushes;

-- name: push_status
-- purpose: the status of a push; no row if there is none
-- parameters: push_id
select status
from outbox.pushes
where push_id = %(push_id)s;
