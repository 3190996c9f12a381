-- purpose: count on the run the clients that were not due; see schedule_clients
-- parameters: run_id
update sync.runs
set deferred = (
    select count(*)
    from scheduled
    where not exists (
        select from sync.fetches
        where fetches.run_id = runs.run_id and fetches.client_id = scheduled.client_id
    )
)
where runs.run_id = %(run_id)s;
