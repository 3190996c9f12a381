-- sync.registration_days: the proven state of each registration day

-- name: store_days
-- purpose: store the proven state of the registration days of a publish
-- tag: state-updated
insert into sync.registration_days as state (
    registration_date, source_total, fingerprint, head, header_digest, quarantined, version,
    read_at, pending_since, last_error
)
select
    day, rows, fingerprint, head, header_digest, quarantined, 1, read_at, null, null
from publishing
where day is not null
on conflict (registration_date) do update set
    source_total = excluded.source_total,
    fingerprint = excluded.fingerprint,
    quarantined = excluded.quarantined,
    version = state.version + (
        (state.source_total, state.fingerprint)
        is distinct from (excluded.source_total, excluded.fingerprint)
    )::integer,
    read_at = greatest(state.read_at, excluded.read_at),
    pending_since = null,
    last_error = null;

-- name: leave_pending_days
-- purpose: mark the registration days that a run could not prove as pending
-- parameters: run_id
insert into sync.registration_days as state (registration_date, pending_since, last_error)
select day, now(), coalesce(error, 'it changed while it was published')
from sync.fetches
where
    run_id = %(run_id)s
    and day is not null
    and status in ('pending', 'unproven', 'failed')
on conflict (registration_date) do update set
    pending_since = coalesce(state.pending_since, excluded.pending_since),
    last_error = excluded.last_error;

-- name: first_polled_day
-- purpose: the earliest registration day that was ever polled
select min(registration_date) as day
from sync.registration_days;

-- name: polled_days
-- purpose: the registration days of a range that were polled with a proven response
-- parameters: first, last
select registration_date
from sync.registration_days
where registration_date between %(first)s and %(last)s and read_at is not null;

-- name: pending_days
-- purpose: the registration days of a range to poll again
-- parameters: first, last
-- Days whose last poll failed or was reset, and registration days of clients retired since then: the
-- poll shows whether the source still lists them.
select registration_date
from sync.registration_days
where
    registration_date between %(first)s and %(last)s
    and (pending_since is not null or fingerprint is null)
union
select registrations.registration_date
from sync.retired_clients as retired
inner join core.registrations
    on registrations.client_id = retired.client_id and registrations.deleted_at is null
inner join sync.registration_days as polled
    on polled.registration_date = registrations.registration_date
where
    registrations.registration_date between %(first)s and %(last)s
    and polled.read_at < retired.retired_at;

-- name: reset_quarantined_days
-- purpose: mark days with rows in quarantine as not up to date
update sync.registration_days
set fingerprint = null, version = version + 1
where exists (
    select from sync.quarantine
    where
        quarantine.day = registration_days.registration_date
        and quarantine.resolved_at is null
);

-- name: reset_days
-- purpose: mark all registration days as not up to date, for the next sync to poll; returns their number
with reset as (
    update sync.registration_days
    set fingerprint = null, version = version + 1
    returning registration_date
)

select count(*) as days from reset;
