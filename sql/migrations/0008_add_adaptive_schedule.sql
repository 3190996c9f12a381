-- purpose: what the adaptive schedule decides by: the day a client is proven through, and its last change

alter table sync.client_state
    add column proven_date date,
    add column changed_date date;
comment on column sync.client_state.proven_date is 'business day that it is proven through: the newest last day of the runs that proved it';
comment on column sync.client_state.changed_date is 'last business day of the run that last found it changed';

alter table sync.window_days add column deferred integer not null default 0;
comment on column sync.window_days.pending is 'of them without a proven reading since the day ended, as it failed';
comment on column sync.window_days.deferred is 'of them not read since the day ended, as they were not due yet';

alter table sync.runs add column deferred integer not null default 0;
comment on column sync.runs.deferred is 'clients registered by the end of the window that were not due, and not asked';

-- Until now each published run had read everyone, but for those who were pending then.
update sync.client_state as state
set proven_date = told.last_day, changed_date = told.last_day
from (
    select
        known.endpoint,
        known.client_id,
        max(runs.window_to) as last_day
    from sync.client_state as known
    inner join sync.runs
        on
            runs.feed = known.endpoint
            and runs.status = 'published'
            and (known.pending_since is null or runs.finished_at <= known.pending_since)
    where known.read_at is not null
    group by known.endpoint, known.client_id
) as told
where state.endpoint = told.endpoint and state.client_id = told.client_id;
