-- question: how soon are leads taken up and closed, and how old is the backlog?
-- grain: lead that was live at the end of the given day; the view takes the last day known, with all that
--   is known now: also what a backfill, a repair or another run of the day brought after its first reading
-- formula: the source has no times of change, so history gives an interval: a change happened after
--   the start of the last reading that still had the old state and by the publish that had the new
--   one. Only readings of all clients, none of them pending or deferred, narrow it; without one it begins
--   at the creation of the lead, as for a lead that was first seen changed (it may have skipped a status).
--   The first change is the first state outside new_lead_statuses; closing is the step into
--   closed_lead_statuses after the last other state. hit: the whole interval lies within the limit;
--   missed: beyond it, or the lead was still waiting beyond it; else unknown; null while no lead was ever
--   seen in a status of new_lead_statuses (or closed_lead_statuses): the programme's own names have to be
--   put there. A lead that a merge moved to another client keeps its history. A day that is given is
--   judged by what its reading knew; the limits are those of the day on which the lead was made
--   (mart.dated_parameters).
-- refreshed: always
create or replace function mart.leads_sla_on(asked_day date)
returns table (
    as_of_date date,
    client_id bigint,
    lead_id bigint,
    day date,
    type_name text,
    source_name text,
    form_name text,
    status_name text,
    created_at timestamptz,
    first_change_after timestamptz,
    first_change_by timestamptz,
    first_change_sla text,
    closed_after timestamptz,
    closed_by timestamptz,
    closing_sla text,
    is_open boolean,
    age_days integer,
    age_bucket text
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
with reading as (
    select
        asked.day,
        case when asked_day is null then '9999-12-31' else readings.known_at end as known_at
    from (select coalesce(asked_day, as_of.leads_day) as day from mart.as_of) as asked
    inner join mart.readings
        on readings.feed = 'leads' and asked.day between readings.first_day and readings.last_day
),

versions as (
    select
        leads.client_id,
        leads.lead_id,
        leads.lead_date,
        leads.created_at,
        leads.type_name,
        leads.source_name,
        leads.form_name,
        leads.status_name,
        leads.deleted_at is null as is_live,
        leads.synced_at as valid_from,
        'infinity'::timestamptz as valid_to
    from core.leads
    union all
    select
        leads.client_id,
        leads.lead_id,
        leads.lead_date,
        leads.created_at,
        leads.type_name,
        leads.source_name,
        leads.form_name,
        leads.status_name,
        leads.deleted_at is null as is_live,
        leads.valid_from,
        leads.valid_to
    from history.leads
),

known as (
    select
        versions.*,
        coalesce(versions.status_name, '') = ''
        or versions.status_name = any(parameters.new_lead_statuses) as is_new,
        coalesce(versions.status_name = any(parameters.closed_lead_statuses), false) as is_closed,
        -- A merge moves a lead to another client. A number that several clients have is of several leads.
        case
            when
                count(*) filter (where versions.valid_to > reading.known_at)
                    over (partition by versions.lead_id)
                > 1
                then versions.client_id
        end as client_of_several
    from versions
    cross join reading
    cross join mart.parameters
    where
        versions.valid_from <= reading.known_at
        and versions.lead_date >= mart.first_plausible_day()
        and versions.lead_date <= reading.day
        -- History is dropped by the month in which a version ended, so some versions outlive their lead.
        and versions.lead_date
        >= coalesce((select as_of.operations_kept_from from mart.as_of), '-infinity')
        and versions.is_live
),

-- Names of statuses are the programme's own: lists of names that never occur judge nothing.
mapped as (
    select
        coalesce(bool_or(versions.status_name = any(parameters.new_lead_statuses)), false)
            as has_new,
        coalesce(bool_or(versions.status_name = any(parameters.closed_lead_statuses)), false)
            as has_closed
    from mart.parameters
    left join versions on true
),

-- Windows, as the planner takes known for one row: a join of it with its groups would compare each lead with
-- each other.
steps as (
    select
        known.*,
        min(known.valid_from) over of_lead as first_seen,
        min(known.valid_from) filter (where not known.is_new) over of_lead as changed,
        max(known.valid_to) filter (where not known.is_closed) over of_lead as left_open
    from known
    window of_lead as (partition by known.lead_id, known.client_of_several)
),

present as (
    select steps.*
    from steps
    cross join reading
    where steps.valid_to > reading.known_at
),

runs as (
    select
        runs.started_at,
        runs.finished_at,
        runs.window_to,
        runs.clients,
        runs.pending + runs.deferred as unread,
        max(runs.window_to) over (order by runs.finished_at, runs.run_id) as newest_day,
        first_value(runs.clients) over of_day as clients_of_day,
        first_value(runs.started_at) over of_day as day_read_from
    from sync.runs
    where runs.feed = 'leads' and runs.status = 'published'
    window of_day as (partition by runs.window_to order by runs.finished_at, runs.run_id)
),

-- A run of an earlier day reads only who had registered by it, and a repair only the clients that differ:
-- that of the newest day, so it has fewer clients than the reading of the day. Who was retired since that reading
-- is read no more.
proofs as (
    select started_at, finished_at
    from runs
    where
        unread = 0
        and window_to = newest_day
        and clients + (
            select count(*)
            from sync.retired_clients as retired
            where retired.retired_at > runs.day_read_from and retired.retired_at <= runs.started_at
        ) >= clients_of_day
),

moments as (
    select present.changed as moment from present where present.changed > present.first_seen
    union
    select present.left_open as moment from present where present.left_open < 'infinity'
),

-- The last clean reading at all, and that which ended last before each moment.
latest as (
    select
        max(proofs.started_at) as started_at,
        max(proofs.finished_at) as finished_at
    from proofs
    cross join reading
    where proofs.finished_at <= reading.known_at
),

before as (
    select
        moments.moment,
        max(proofs.started_at) as started_at,
        max(proofs.finished_at) as finished_at
    from moments
    cross join reading
    left join proofs
        on proofs.finished_at < moments.moment and proofs.finished_at <= reading.known_at
    group by moments.moment
),

intervals as (
    select
        present.client_id,
        present.lead_id,
        present.lead_date,
        present.created_at,
        present.type_name,
        present.source_name,
        present.form_name,
        present.status_name,
        present.is_closed,
        case
            when present.changed is null then null
            when before_change.finished_at >= present.first_seen
                then greatest(before_change.started_at, present.created_at)
            else present.created_at
        end as change_after,
        present.changed as change_by,
        case
            when not present.is_closed then null
            when before_close.finished_at >= present.first_seen
                then greatest(before_close.started_at, present.created_at)
            else present.created_at
        end as closed_after,
        case when present.is_closed then coalesce(present.left_open, present.first_seen) end
            as closed_by,
        case when latest.finished_at >= present.first_seen then latest.started_at end
            as still_at
    from present
    cross join latest
    left join before as before_change on before_change.moment = present.changed
    left join before as before_close on before_close.moment = present.left_open
)

select
    reading.day,
    intervals.client_id,
    intervals.lead_id,
    intervals.lead_date,
    mart.display_text(intervals.type_name),
    mart.display_text(intervals.source_name),
    mart.display_text(intervals.form_name),
    mart.display_text(intervals.status_name),
    intervals.created_at,
    intervals.change_after,
    intervals.change_by,
    case
        when not mapped.has_new then null
        when intervals.change_by <= intervals.created_at + parameters.sla_hours * interval '1 hour'
            then 'hit'
        when
            coalesce(
                intervals.change_after,
                case when intervals.change_by is null then intervals.still_at end
            ) > intervals.created_at + parameters.sla_hours * interval '1 hour'
            then 'missed'
        else 'unknown'
    end,
    intervals.closed_after,
    intervals.closed_by,
    case
        when not mapped.has_closed then null
        when
            intervals.closed_by
            <= intervals.created_at + parameters.closing_sla_hours * interval '1 hour'
            then 'hit'
        when
            coalesce(
                intervals.closed_after,
                case when intervals.closed_by is null then intervals.still_at end
            ) > intervals.created_at + parameters.closing_sla_hours * interval '1 hour'
            then 'missed'
        else 'unknown'
    end,
    not intervals.is_closed,
    case when not intervals.is_closed then reading.day - intervals.lead_date end,
    case
        when intervals.is_closed then null
        when reading.day - intervals.lead_date <= 1 then '0-1'
        when reading.day - intervals.lead_date <= 3 then '2-3'
        when reading.day - intervals.lead_date <= 7 then '4-7'
        when reading.day - intervals.lead_date <= 30 then '8-30'
        else '31+'
    end
from intervals
cross join reading
cross join mapped
inner join mart.dated_parameters as parameters
    on intervals.lead_date between parameters.first_day and parameters.last_day;
end;

comment on function mart.leads_sla_on(date) is 'mart.leads_sla as of the end of a past business day, by what its reading knew; null is for the last day known, by all that is known now';

create materialized view mart.leads_sla as
select
    as_of_date,
    client_id,
    lead_id,
    day,
    type_name,
    source_name,
    form_name,
    status_name,
    created_at,
    first_change_after,
    first_change_by,
    first_change_sla,
    closed_after,
    closed_by,
    closing_sla,
    is_open,
    age_days,
    age_bucket
from mart.leads_sla_on(null);

create unique index on mart.leads_sla (client_id, lead_id);

comment on materialized view mart.leads_sla is 'how soon leads are taken up and closed; for past days see the function mart.leads_sla_on. Grain: lead';
comment on column mart.leads_sla.as_of_date is 'last day known';
comment on column mart.leads_sla.client_id is 'the client';
comment on column mart.leads_sla.lead_id is 'the lead';
comment on column mart.leads_sla.day is 'business day of creation';
comment on column mart.leads_sla.type_name is 'type, as mart.display_text shows it';
comment on column mart.leads_sla.source_name is 'source, as mart.display_text shows it';
comment on column mart.leads_sla.form_name is 'form, as mart.display_text shows it';
comment on column mart.leads_sla.status_name is 'status, as mart.display_text shows it';
comment on column mart.leads_sla.created_at is 'when the lead was made';
comment on column mart.leads_sla.first_change_after is 'the lead was still new then; null when it is new';
comment on column mart.leads_sla.first_change_by is 'the lead was new no more then; null when it is new';
comment on column mart.leads_sla.first_change_sla is 'hit, missed or unknown, against sla_hours; null while no lead was ever seen in a status of new_lead_statuses';
comment on column mart.leads_sla.closed_after is 'the lead was still open then; null when it is open';
comment on column mart.leads_sla.closed_by is 'the lead was closed then; null when it is open';
comment on column mart.leads_sla.closing_sla is 'hit, missed or unknown, against closing_sla_hours; null while none was seen in one of closed_lead_statuses';
comment on column mart.leads_sla.is_open is 'the status is none of the closed ones';
comment on column mart.leads_sla.age_days is 'days since creation, of an open lead';
comment on column mart.leads_sla.age_bucket is 'the same in steps: 0-1, 2-3, 4-7, 8-30, 31+ days';
