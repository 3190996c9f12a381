-- question: which clients bought lately, often and much?
-- grain: client with a purchase
-- formula: as of the last day of operations: R days since the last purchase, F purchases and M net
--   sales of the last rfm_days days. Scores are by rank among these clients: a client's score is 1 +
--   the number of rfm_breaks that the share of clients strictly worse reaches. Equal values have
--   equal scores, so scores do not change from run to run. 5 is best. The segment is named by the
--   first rule of mart.rfm_segments that fits.
create or replace view mart.rfm as
select
    scores.client_id,
    coalesce(refreshed.operations_day, as_of.operations_day) as as_of_date,
    coalesce(refreshed.operations_day, as_of.operations_day) - scores.last_purchase_date
        as recency_days,
    scores.frequency,
    scores.monetary,
    scores.recency_score,
    scores.frequency_score,
    scores.monetary_score,
    scores.segment,
    scores.segment_ru
from mart.rfm_scores as scores
cross join mart.as_of
left join refresh.marts as refreshed on refreshed.name = 'rfm_scores';

comment on view mart.rfm is 'recency, frequency and monetary value of buyers, scored and named. Grain: client';
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
