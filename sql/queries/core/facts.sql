-- the tables of facts: what the checks count in any of them

-- name: count_duplicate_keys
-- purpose: how many keys are live more than once, such as on two business days
-- parameters: {table} of core, {key} its key without the business day
select count(*) as keys
from (
    select from core.{table}
    where deleted_at is null
    group by {key}
    having count(*) > 1
) as duplicates;

-- name: count_shared_keys
-- purpose: how many keys are live under two clients
-- parameters: {table} of core, {key} its key without the client
select count(*) as keys
from (
    select from core.{table}
    where deleted_at is null
    group by {key}
    having min(client_id) <> max(client_id)
) as shared;

-- name: count_orphans
-- purpose: how many live rows belong to no client of the roster
-- parameters: {table} of core
select count(*) as orphans
from core.{table} as facts
where
    facts.deleted_at is null
    and not exists (select from core.clients where clients.client_id = facts.client_id);
