-- purpose: put every day with a cheque into the scope of a refresh
-- parameters: none
insert into refresh.days (day)
select distinct day from mart.cheques
on conflict do nothing;
