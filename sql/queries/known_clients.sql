-- purpose: a few clients that the service should answer for, and the feed to ask, whatever the feed
-- parameters: none
(
    select endpoint as feed, client_id
    from sync.client_state
    where read_at is not null and pending_since is null
    order by client_id desc
    limit 2
)
union all
(
    select endpoint as feed, client_id
    from sync.client_state
    where read_at is not null and pending_since is null
    order by random()
    limit 2
)
union all
(
    select 'operations' as feed, client_id
    from core.clients
    order by client_id desc
    limit 1
);
