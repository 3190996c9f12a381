-- question: which clients bought lately, often and much?
-- grain: client with a purchase
-- formula: as of the last day of operations: R days since the last purchase, F purchases and M net
--   sales of the last rfm_days days. Scores are by rank among these clients: a client's score is 1 +
--   the number of rfm_breaks that the share of clients strictly worse reaches. Equal values have
--   equal scores, so scores do not change from run to run. 5 is best. The segment is named by the
--   first rule of mart.rfm_segments that fits.
create materialized view mart.rfm as
with last_purchases as (
    select client_id, max(last_day) as day
    from mart.purchase_months
    where purchases > 0
    group by client_id
),

recent as (
    select
        cheques.client_id,
        count(*) filter (where not cheques.is_refund) as purchases,
        sum(cheques.net_amount) as net_sales
    from mart.cheques
    cross join mart.as_of
    cross join mart.parameters
    where
        cheques.day <= as_of.operations_day
        and cheques.day > as_of.operations_day - parameters.rfm_days
    group by cheques.client_id
),

measured as (
    select
        last_purchases.client_id,
        as_of.operations_day as as_of_date,
        as_of.operations_day - last_purchases.day as recency_days,
        coalesce(recent.purchases, 0) as frequency,
        coalesce(recent.net_sales, 0) as monetary
    from last_purchases
    cross join mart.as_of
    left join recent on recent.client_id = last_purchases.client_id
),

ranked as (
    select
        client_id,
        as_of_date,
        recency_days,
        frequency,
        monetary,
        (rank() over (order by recency_days desc) - 1)::numeric / count(*) over () as recency_share,
        (rank() over (order by frequency) - 1)::numeric / count(*) over () as frequency_share,
        (rank() over (order by monetary) - 1)::numeric / count(*) over () as monetary_share
    from measured
),

scored as (
    select
        ranked.client_id,
        ranked.as_of_date,
        ranked.recency_days,
        ranked.frequency,
        ranked.monetary,
        1 + scores.recency as recency_score,
        1 + scores.frequency as frequency_score,
        1 + scores.monetary as monetary_score
    from ranked
    cross join mart.parameters
    cross join lateral (
        select
            count(*) filter (where share <= ranked.recency_share)::integer as recency,
            count(*) filter (where share <= ranked.frequency_share)::integer as frequency,
            count(*) filter (where share <= ranked.monetary_share)::integer as monetary
        from unnest(parameters.rfm_breaks) as breaks (share)
    ) as scores
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
    scored.as_of_date,
    scored.recency_days,
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

create unique index on mart.rfm (client_id);

comment on materialized view mart.rfm is 'recency, frequency and monetary value of buyers, scored and named. Grain: client';
comment on column mart.rfm.client_id is 'the client';
comment on column mart.rfm.as_of_date is 'last day of operations';
comment on column mart.rfm.recency_days is 'days since the last purchase';
comment on column mart.rfm.frequency is 'purchases in the last rfm_days days';
comment on column mart.rfm.monetary is 'net sales of the last rfm_days days, in money';
comment on column mart.rfm.recency_score is 'score of recency, the greatest is best';
comment on column mart.rfm.frequency_score is 'score of frequency';
comment on column mart.rfm.monetary_score is 'score of monetary value';
comment on column mart.rfm.segment is 'name of the segment, English; null when no rule fits';
comment on column mart.rfm.segment_ru is 'name of the segment, Russian';
