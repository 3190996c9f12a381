-- purpose: a few clients that the service should answer for, and the feed to ask, whatever the feed
-- parameters: most
(
    select endpoint as feed, client_id
    from sync.client_state
    where read_at is not null and pending_since is null
    limit %(most)s
)
union all
(
    select 'operations' as feed, client_id
    from core.clients
    limit %(most)s
)
limit %(most)s;
