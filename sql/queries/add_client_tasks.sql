-- purpose: put the clients that are due on the ledger of a run, once; see schedule_clients
-- parameters: run_id, endpoint, first, last
-- tag: tasks-added
insert into sync.fetches
    (run_id, client_id, window_from, window_to, endpoint, is_whole, is_priority)
select
    %(run_id)s,
    client_id,
    %(first)s,
    %(last)s,
    %(endpoint)s,
    is_whole,
    is_priority
from scheduled
where is_due
on conflict do nothing;
