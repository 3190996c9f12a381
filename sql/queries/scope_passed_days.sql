-- purpose: put the days that have come into the scope of a refresh
-- parameters: after_day, last_day (they lie after the one, through the other)
insert into refresh.days (day)
select series::date
from generate_series(%(after_day)s::timestamp + interval '1 day', %(last_day)s, interval '1 day')
    as series;
