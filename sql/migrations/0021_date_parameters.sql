-- purpose: parameters that hold from a date on, and what past months said when they were first computed

-- What a point is worth or how soon leads have to be answered changes over the years. The row says what
-- holds now, and since when; what held before is in mart.parameter_history.
alter table mart.parameters
    add column valid_from date not null default mart.first_plausible_day();
comment on table mart.parameters is 'what the marts are parameterized by: one row, to be edited in place. point_value, expected_breakage, sla_hours and closing_sla_hours hold from valid_from on: an edit that moves it changes no day before';
comment on column mart.parameters.valid_from is 'first business day on which point_value, expected_breakage, sla_hours and closing_sla_hours hold; 2000-01-01: since ever. Set to a later day, it leaves what held before to mart.parameter_history; an edit without it corrects what holds since then';

-- What rows mean where the data may show otherwise; the checks of the marts say what it shows.
alter table mart.parameters
    add column cheque_points_count boolean not null default true,
    add column bonus_redemptions_count boolean not null default true,
    add column refunds_give_back boolean not null default true,
    add column negative_is_refund boolean not null default true;
comment on column mart.parameters.cheque_points_count is 'points of a cheque that no bonus row names are points given; false: they are left out';
comment on column mart.parameters.bonus_redemptions_count is 'points in Redeemed of a bonus row are a redemption where no cheque tells it; false: they are left out';
comment on column mart.parameters.refunds_give_back is 'points in Redeemed of a refund were given back to the client; false: they repeat those of the purchase';
comment on column mart.parameters.negative_is_refund is 'a cheque of a negative amount is a refund, whatever the flag says; false: only the flag does';

create table mart.parameter_history (
    valid_from date not null,
    point_value numeric(19, 4) not null check (point_value >= 0),
    expected_breakage numeric(5, 4) not null check (expected_breakage between 0 and 1),
    sla_hours integer not null check (sla_hours > 0),
    closing_sla_hours integer not null check (closing_sla_hours > 0),
    primary key (valid_from)
);
comment on table mart.parameter_history is 'what mart.parameters said before its valid_from; filled by edits that move valid_from. Grain: day on which the values began to hold';
comment on column mart.parameter_history.valid_from is 'first business day on which they held; the first row also holds for all days before it';
comment on column mart.parameter_history.point_value is 'what one point was worth, in money';
comment on column mart.parameter_history.expected_breakage is 'share of outstanding points that was expected never to be redeemed';
comment on column mart.parameter_history.sla_hours is 'hours in which a lead had to leave the new statuses';
comment on column mart.parameter_history.closing_sla_hours is 'hours in which a lead had to be closed';

create table mart.source_breakage (
    bonus_source smallint not null,
    valid_from date not null default mart.first_plausible_day(),
    expected_breakage numeric(5, 4) check (expected_breakage between 0 and 1),
    primary key (bonus_source, valid_from)
);
comment on table mart.source_breakage is 'expected breakage of the points of one bonus source, instead of that of mart.parameters. Grain: bonus source, day from which it holds';
comment on column mart.source_breakage.bonus_source is 'bonus source, see core.bonus_sources';
comment on column mart.source_breakage.valid_from is 'first business day on which it holds; 2000-01-01: since ever';
comment on column mart.source_breakage.expected_breakage is 'share of outstanding points of the source that is expected never to be redeemed; null: that of mart.parameters again';

create function mart.file_parameters() returns trigger
language plpgsql
as $$
begin
    if new.valid_from > old.valid_from then
        insert into mart.parameter_history (
            valid_from, point_value, expected_breakage, sla_hours, closing_sla_hours
        )
        values (
            old.valid_from, old.point_value, old.expected_breakage, old.sla_hours,
            old.closing_sla_hours
        )
        on conflict (valid_from) do update set
            point_value = excluded.point_value,
            expected_breakage = excluded.expected_breakage,
            sla_hours = excluded.sla_hours,
            closing_sla_hours = excluded.closing_sla_hours;
    else
        -- The row holds from an earlier day on: nothing else does from then on.
        delete from mart.parameter_history where valid_from >= new.valid_from;
    end if;
    return new;
end;
$$;
comment on function mart.file_parameters() is 'files what mart.parameters said before its valid_from moved';
create trigger file_parameters
before update on mart.parameters
for each row when (new.valid_from <> old.valid_from)
execute function mart.file_parameters();

-- What the marts said of a day or a month once its own reading was there. Never changed again.
create table mart.published_days (
    day date not null,
    points_added numeric(19, 2) not null,
    points_redeemed numeric(19, 2) not null,
    points_activated numeric(19, 2) not null,
    points_expired numeric(19, 2) not null,
    published_at timestamptz not null default now(),
    primary key (day)
);
comment on table mart.published_days is 'points of each day as mart.program_daily first said, right after the reading of that day; see mart.program_daily_as_known_then. Grain: day';
comment on column mart.published_days.day is 'business day';
comment on column mart.published_days.points_added is 'points given';
comment on column mart.published_days.points_redeemed is 'points redeemed';
comment on column mart.published_days.points_activated is 'points that became usable';
comment on column mart.published_days.points_expired is 'points expired';
comment on column mart.published_days.published_at is 'when the marts were refreshed';

create table mart.published_months (
    month date not null,
    opening numeric(19, 2) not null,
    added numeric(19, 2) not null,
    redeemed numeric(19, 2) not null,
    expired numeric(19, 2) not null,
    clawed_back numeric(19, 2) not null,
    corrections numeric(19, 2) not null,
    residual numeric(19, 2) not null,
    closing numeric(19, 2) not null,
    published_at timestamptz not null default now(),
    primary key (month)
);
comment on table mart.published_months is 'each month as mart.points_bridge_monthly first said, right after the reading of its last day; see mart.points_bridge_as_known_then. Grain: month';
comment on column mart.published_months.month is 'first day of the month';
comment on column mart.published_months.opening is 'points outstanding before the month';
comment on column mart.published_months.added is 'points given';
comment on column mart.published_months.redeemed is 'points redeemed, less points that refunds gave back';
comment on column mart.published_months.expired is 'points expired';
comment on column mart.published_months.clawed_back is 'points taken back for refunded cheques';
comment on column mart.published_months.corrections is 'deductions by rows, and rows that vanished';
comment on column mart.published_months.residual is 'what no row explains';
comment on column mart.published_months.closing is 'points outstanding at the end of the month';
comment on column mart.published_months.published_at is 'when the marts were refreshed';

-- What the last refresh said of months that have ended, and each time that it said otherwise.
create table refresh.answers (
    month date not null,
    measure text not null,
    value numeric not null,
    primary key (month, measure)
);
comment on table refresh.answers is 'what the last refresh said of months that have ended. Grain: month, measure';
comment on column refresh.answers.month is 'first day of the month';
comment on column refresh.answers.measure is 'column of mart.points_bridge_monthly or mart.points_rollforward_monthly';
comment on column refresh.answers.value is 'points, or money';

create table mart.restated_answers (
    month date not null,
    measure text not null,
    value_before numeric(19, 2) not null,
    value_after numeric(19, 2),
    change numeric(19, 2) generated always as (coalesce(value_after, 0) - value_before) stored,
    restated_at timestamptz not null default now(),
    reason text not null,
    primary key (month, measure, restated_at)
);
comment on table mart.restated_answers is 'figures of months that had ended and that a later refresh changed; the rows behind them are in mart.restatements. Grain: month, measure, refresh';
comment on column mart.restated_answers.month is 'first day of the month';
comment on column mart.restated_answers.measure is 'points_closing, points_expired …: columns of mart.points_bridge_monthly; value_closing …: of mart.points_rollforward_monthly';
comment on column mart.restated_answers.value_before is 'what the refresh before said; points, or money';
comment on column mart.restated_answers.value_after is 'what this refresh said; null where the month is no longer there';
comment on column mart.restated_answers.change is 'value_after - value_before';
comment on column mart.restated_answers.restated_at is 'when the refresh was made';
comment on column mart.restated_answers.reason is 'what had changed: edited parameters, or rows of which months came late, changed or vanished; else formulas (an upgrade) or rows of later months';

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on mart.parameter_history, mart.source_breakage
            to lcm_loader;
        grant select, insert on mart.published_days, mart.published_months, mart.restated_answers
            to lcm_loader;
        grant select, insert, update, delete on refresh.answers to lcm_loader;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_analyst') then
        grant select on mart.parameter_history, mart.source_breakage, mart.published_days,
            mart.published_months, mart.restated_answers to lcm_analyst;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_bi') then
        grant select on mart.parameter_history, mart.source_breakage, mart.published_days,
            mart.published_months, mart.restated_answers to lcm_bi;
    end if;
end;
$$;
