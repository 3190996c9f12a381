-- purpose: what is known of the profiles of some clients: the value of each field, and whose it is
-- parameters: client_ids
-- Known is what we sent last and the API took whole; for the phone, what the source showed when a
-- reading began later than that. After any other end of an update its fields are not known.
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
        on state.endpoint = 'operations' and state.client_id = clients.client_id
    where clients.client_id = any(%(client_ids)s::bigint[]) and clients.phone is not null
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
