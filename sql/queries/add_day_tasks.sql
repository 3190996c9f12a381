-- purpose: put registration days on the ledger of a run, once
-- parameters: run_id, endpoint, days
-- tag: tasks-added
insert into sync.fetches (run_id, client_id, window_from, window_to, endpoint, is_priority)
select
    %(run_id)s,
    0,
    days.day,
    days.day,
    %(endpoint)s,
    state.pending_since is not null
from unnest(%(days)s::date[]) as days (day)
left join sync.registration_days as state on state.registration_date = days.day
on conflict do nothing;
