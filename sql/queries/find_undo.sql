-- purpose: the fields that a push sent: the value known before it, or why it cannot be put back
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
            -- One that failed after a lost answer may have been applied by the lost request.
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
