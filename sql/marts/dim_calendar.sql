-- question: which days are working days in Russia, and which months and weeks do they belong to?
-- grain: day, from the first plausible day to the end of the year after next
-- formula: mart.calendar_overrides first (days corrected by hand), then mart.calendar_exceptions
--   (decrees that move days off, one row each, of the years that it has); else the rule of article 112 of the Labour Code: Saturdays and Sundays are off, and so are
--   1-8 January, 23 February, 8 March, 1 and 9 May, 12 June and 4 November; one of them (but those of
--   January) that falls on a weekend moves to the next working day. is_decreed says whether the decree
--   of the year is known here: without it, the days off of January that fall on a weekend are missing.
create or replace view mart.dim_calendar as
with holidays (month, day_of_month, name_ru, name) as (
    select
        1,
        series,
        case when series = 7 then 'Рождество Христово' else 'Новогодние каникулы' end,
        case when series = 7 then 'Christmas' else 'New Year holidays' end
    from generate_series(1, 8) as series
    union all
    values
    (2, 23, 'День защитника Отечества', 'Defender of the Fatherland Day'),
    (3, 8, 'Международный женский день', 'International Women''s Day'),
    (5, 1, 'Праздник Весны и Труда', 'Spring and Labour Day'),
    (5, 9, 'День Победы', 'Victory Day'),
    (6, 12, 'День России', 'Russia Day'),
    (11, 4, 'День народного единства', 'Unity Day')
),

days as (
    select
        series::date as day,
        extract(isodow from series)::smallint as weekday,
        holidays.name_ru,
        holidays.name
    from
        generate_series(
            mart.first_plausible_day()::timestamp,
            date_trunc('year', current_date::timestamp) + interval '3 years' - interval '1 day',
            interval '1 day'
        ) as series
    left join holidays
        on
            holidays.month = extract(month from series)
            and holidays.day_of_month = extract(day from series)
),

-- A holiday on a weekend moves to the Monday after it. None of them meets another one there.
moved as (
    select day + (8 - weekday)::integer as day
    from days
    where name is not null and weekday >= 6 and extract(month from day) <> 1
)

select
    days.day,
    extract(year from days.day)::smallint as year,
    extract(quarter from days.day)::smallint as quarter,
    date_trunc('month', days.day::timestamp)::date as month,
    date_trunc('week', days.day::timestamp)::date as week,
    extract(isoyear from days.day)::smallint as iso_year,
    extract(week from days.day)::smallint as iso_week,
    days.weekday,
    case days.weekday
        when 1 then 'понедельник'
        when 2 then 'вторник'
        when 3 then 'среда'
        when 4 then 'четверг'
        when 5 then 'пятница'
        when 6 then 'суббота'
        else 'воскресенье'
    end as weekday_name_ru,
    trim(to_char(days.day, 'Day')) as weekday_name,
    days.weekday >= 6 as is_weekend,
    days.name is not null as is_holiday,
    coalesce(
        overrides.is_working_day,
        exceptions.is_working_day,
        days.weekday < 6 and days.name is null and moved.day is null
    ) as is_working_day,
    days.name_ru as holiday_name_ru,
    days.name as holiday_name,
    exists (
        select from mart.calendar_exceptions as of_year
        where extract(year from of_year.calendar_date) = extract(year from days.day)
    ) as is_decreed,
    days.day = (date_trunc('month', days.day::timestamp) + interval '1 month')::date - 1
        as is_month_end
from days
left join mart.calendar_overrides as overrides on overrides.calendar_date = days.day
left join mart.calendar_exceptions as exceptions on exceptions.calendar_date = days.day
left join moved on moved.day = days.day;

comment on view mart.dim_calendar is 'days, with the working days of Russia. Grain: day';
comment on column mart.dim_calendar.day is 'the day';
comment on column mart.dim_calendar.year is 'its year';
comment on column mart.dim_calendar.quarter is 'its quarter, 1 to 4';
comment on column mart.dim_calendar.month is 'first day of its month, as in the monthly marts';
comment on column mart.dim_calendar.week is 'Monday of its week';
comment on column mart.dim_calendar.iso_year is 'year of its ISO week';
comment on column mart.dim_calendar.iso_week is 'number of its ISO week';
comment on column mart.dim_calendar.weekday is '1 Monday to 7 Sunday';
comment on column mart.dim_calendar.weekday_name_ru is 'its name, Russian';
comment on column mart.dim_calendar.weekday_name is 'its name, English';
comment on column mart.dim_calendar.is_weekend is 'a Saturday or a Sunday';
comment on column mart.dim_calendar.is_holiday is 'a holiday by article 112 of the Labour Code; a day off that was moved is none';
comment on column mart.dim_calendar.is_working_day is 'a working day of the five-day week; corrected by hand in mart.calendar_overrides';
comment on column mart.dim_calendar.holiday_name_ru is 'name of the holiday, Russian';
comment on column mart.dim_calendar.holiday_name is 'name of the holiday, English';
comment on column mart.dim_calendar.is_decreed is 'the decree of the year is in mart.calendar_exceptions; without it, is_working_day follows the rule alone';
comment on column mart.dim_calendar.is_month_end is 'the last day of its month';
