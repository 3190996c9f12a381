-- sync.registration_days: what is proven of each registration day

-- name: remember_days
-- purpose: the proven state of the registration days that a publish took
-- parameters: run_id
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
-- purpose: remember which registration days a run could not prove
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
-- Their last poll came to nothing or was forgotten, or a client who registered on one was retired
-- since: whether the source still lists it is worth a look.
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

-- name: forget_days
-- purpose: forget that days with rows in quarantine are up to date
update sync.registration_days
set fingerprint = null, version = version + 1
where exists (
    select from sync.quarantine
    where
        quarantine.day = registration_days.registration_date
        and quarantine.resolved_at is null
);

-- name: reset_days
-- purpose: forget that registration days are up to date, so that the next sync polls them; returns how many
with reset as (
    update sync.registration_days
    set fingerprint = null, version = version + 1
    returning registration_date
)

select count(*) as days from reset;
