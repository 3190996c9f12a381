-- question: how do clients compare by how lately, often and much they buy?
-- grain: client with a purchase
-- formula: scores and segments of mart.rfm, by the date of the last purchase. mart.rfm shows them with
--   the day: it would be another row every day.
-- incremental: rows by client_id
create materialized view mart.rfm_scores as
with measured as (
    select
        client_id,
        last_purchase_date,
        recent_purchases as frequency,
        recent_net_sales::numeric(19, 2) as monetary
    from mart.client_totals
    where purchases > 0
),

-- From how many clients strictly worse each break is reached.
breaks as (
    select
        counted.clients,
        ceil(each.share * counted.clients)::bigint as reached_from
    from mart.parameters
    cross join (select count(*) as clients from measured) as counted
    cross join lateral unnest(parameters.rfm_breaks) as each (share)
    where each.share is not null
),

-- A score is reached by values greater than the one at this position, counted from the worst.
-- percentile_disc takes shares; half a client less keeps it from rounding up.
positions as (
    select
        array_agg(
            ((reached_from - 0.5) / clients)::double precision order by reached_from
        ) filter (where reached_from between 1 and clients) as shares,
        (1 + count(*) filter (where reached_from < 1))::integer as worst_score
    from breaks
),

-- The greatest values that are not enough for each next score.
exceeded as (
    select
        percentile_disc((select shares from positions)) within group (order by last_purchase_date)
            as last_purchase_dates,
        percentile_disc((select shares from positions)) within group (order by frequency)
            as frequencies,
        percentile_disc((select shares from positions)) within group (order by monetary)
            as monetaries
    from measured
),

-- The least values of these scores: values are discrete, days, purchases and cents.
enough as (
    select
        array_agg(each.last_purchase_date + 1 order by each.last_purchase_date)
            as last_purchase_dates,
        array_agg(each.frequency + 1 order by each.frequency) as frequencies,
        array_agg(each.monetary + 0.01 order by each.monetary) as monetaries
    from exceeded
    cross join lateral
        unnest(exceeded.last_purchase_dates, exceeded.frequencies, exceeded.monetaries)
            as each (last_purchase_date, frequency, monetary)
),

scored as (
    select
        measured.*,
        positions.worst_score
        + coalesce(width_bucket(measured.last_purchase_date, enough.last_purchase_dates), 0)
            as recency_score,
        positions.worst_score
        + coalesce(width_bucket(measured.frequency, enough.frequencies), 0) as frequency_score,
        positions.worst_score
        + coalesce(width_bucket(measured.monetary, enough.monetaries), 0) as monetary_score
    from measured
    cross join positions
    cross join enough
),

-- There are few combinations of scores, and many clients.
named as (
    select distinct on (combinations.recency_score, combinations.frequency_score,
        combinations.monetary_score)
        combinations.recency_score,
        combinations.frequency_score,
        combinations.monetary_score,
        rfm_segments.segment,
        rfm_segments.segment_ru
    from (
        select distinct recency_score, frequency_score, monetary_score from scored
    ) as combinations
    inner join mart.rfm_segments
        on
            combinations.recency_score
            between rfm_segments.recency_from and rfm_segments.recency_to
            and combinations.frequency_score
            between rfm_segments.frequency_from and rfm_segments.frequency_to
            and combinations.monetary_score
            between rfm_segments.monetary_from and rfm_segments.monetary_to
    order by
        combinations.recency_score asc,
        combinations.frequency_score asc,
        combinations.monetary_score asc,
        rfm_segments.priority asc
)

select
    scored.client_id,
    scored.last_purchase_date,
    scored.frequency,
    scored.monetary,
    scored.recency_score,
    scored.frequency_score,
    scored.monetary_score,
    named.segment,
    named.segment_ru
from scored
left join named
    on
        named.recency_score = scored.recency_score
        and named.frequency_score = scored.frequency_score
        and named.monetary_score = scored.monetary_score;

create unique index on mart.rfm_scores (client_id);

comment on materialized view mart.rfm_scores is 'scores of buyers on the last known day. Grain: client';
comment on column mart.rfm_scores.client_id is 'the client';
comment on column mart.rfm_scores.last_purchase_date is 'day of the last purchase';
comment on column mart.rfm_scores.frequency is 'purchases in the last rfm_days days';
comment on column mart.rfm_scores.monetary is 'net sales of the last rfm_days days, in money';
comment on column mart.rfm_scores.recency_score is 'score of recency, the greatest is best';
comment on column mart.rfm_scores.frequency_score is 'score of frequency';
comment on column mart.rfm_scores.monetary_score is 'score of monetary value';
comment on column mart.rfm_scores.segment is 'name of the segment, English; null when no rule fits';
comment on column mart.rfm_scores.segment_ru is 'name of the segment, Russian';
