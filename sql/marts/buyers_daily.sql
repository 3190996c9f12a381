-- question: how many clients bought on a day?
-- grain: day with a cheque
-- formula: clients of mart.cheques with a purchase, each once, in whatever stores. Days that have
--   not ended are here too, but none of the future.
create view refresh.buyers_daily as
select
    cheques.day,
    count(distinct cheques.client_id) filter (where not cheques.is_refund) as buyers
from refresh.days
inner join mart.cheques on cheques.day = days.day
where days.day <= (select operations_loaded_day from mart.as_of)
group by cheques.day;

create table mart.buyers_daily as table refresh.buyers_daily with no data;
create index on mart.buyers_daily (day);

comment on table mart.buyers_daily is 'clients who bought. Grain: day with a cheque';
comment on column mart.buyers_daily.day is 'business day';
comment on column mart.buyers_daily.buyers is 'clients with a purchase';
