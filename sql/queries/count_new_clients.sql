-- purpose: the registration day that brings most clients that are not known, and how many
-- parameters: none
-- Days that were polled before are taken together, and told by null.
select
    case when polled.read_at is null then incoming.registration_date end as day,
    count(distinct incoming.client_id) as clients
from incoming_clients as incoming
left join core.clients as stored on stored.client_id = incoming.client_id
left join sync.registration_days as polled
    on polled.registration_date = incoming.registration_date
where incoming.registration_date is not null and stored.client_id is null
group by 1
order by 2 desc
limit 1;
