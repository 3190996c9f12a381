-- purpose: what reading the known clients of a window will cost, from their last proven readings
-- parameters: endpoint, last, page_length, audit_share, days (in the window), has_details
-- A client that is up to date costs one request. The audit reads long histories page by page, and
-- asks for the details of each row where the feed has some.
with roster as (
    select
        coalesce(state.source_total, 0) as source_total,
        state.read_at is not null as is_known
    from core.clients
    left join sync.client_state as state
        on state.endpoint = %(endpoint)s and state.client_id = clients.client_id
    where clients.registration_date <= %(last)s
)

select
    count(*) filter (where is_known) as known,
    count(*) filter (where not is_known) as unknown,
    coalesce(sum(source_total), 0) as rows,
    count(*) filter (where is_known) + least(1, %(audit_share)s::numeric * %(days)s) * coalesce(
        sum(
            greatest(ceil(source_total::numeric / %(page_length)s) - 1, 0)
            + case when %(has_details)s then source_total else 0 end
        ) filter (where is_known),
        0
    ) as requests
from roster;
