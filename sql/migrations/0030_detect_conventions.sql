-- purpose: conventions of points that the data may show: what was found, apart from what is set

-- What was found moves out of mart, where a view now shows it beside what is used and why.
alter table mart.conventions set schema refresh;
alter table refresh.conventions rename to findings;
alter table refresh.findings rename column finding to detected;
alter table refresh.findings add column evidence text;
comment on table refresh.findings is 'what the rows show of conventions that no field of the source tells; a decided one stays until its row is deleted. Grain: convention';
comment on column refresh.findings.convention is 'the convention, see mart.conventions';
comment on column refresh.findings.detected is 'what fits the rows best; null where they show nothing';
comment on column refresh.findings.votes is 'rows, clients or pairs of lots that speak of it';
comment on column refresh.findings.share is 'share of these that agree with what was detected';
comment on column refresh.findings.evidence is 'the counts, in words';

-- Null: as the rows show, and true while they do not. What was as shipped, and never said to be right, is that
-- from now on.
alter table mart.parameters
    alter column cheque_points_count drop not null,
    alter column cheque_points_count drop default,
    alter column bonus_redemptions_count drop not null,
    alter column bonus_redemptions_count drop default,
    alter column refunds_give_back drop not null,
    alter column refunds_give_back drop default,
    alter column negative_is_refund drop not null,
    alter column negative_is_refund drop default;
update mart.parameters set
    cheque_points_count = case when not cheque_points_count or 'cheque_points_count' = any(confirmed) then cheque_points_count end,
    bonus_redemptions_count = case when not bonus_redemptions_count or 'bonus_redemptions_count' = any(confirmed) then bonus_redemptions_count end,
    refunds_give_back = case when not refunds_give_back or 'refunds_give_back' = any(confirmed) then refunds_give_back end,
    negative_is_refund = case when not negative_is_refund or 'negative_is_refund' = any(confirmed) then negative_is_refund end;
comment on column mart.parameters.cheque_points_count is 'points of a cheque that no bonus row names are points given; false: they are left out; null: as the rows show, see mart.conventions';
comment on column mart.parameters.bonus_redemptions_count is 'points in Redeemed of a bonus row are a redemption where no cheque tells it; false: they are left out; null: as the rows show, see mart.conventions';
comment on column mart.parameters.refunds_give_back is 'points in Redeemed of a refund were given back to the client; false: they repeat those of the purchase; null: as the rows show, see mart.conventions';
comment on column mart.parameters.negative_is_refund is 'a cheque of a negative amount is a refund, whatever the flag says; false: only the flag does; null: as the rows show, see mart.conventions';

create view refresh.rules as
select
    burnt_bonus_source,
    coalesce(
        cheque_points_count,
        (
            select detected = 'given' from refresh.findings
            where convention = 'cheque_points' and is_decided
        ),
        true
    ) as cheque_points_count,
    coalesce(
        bonus_redemptions_count,
        (
            select detected = 'redeemed' from refresh.findings
            where convention = 'bonus_redemptions' and is_decided
        ),
        true
    ) as bonus_redemptions_count,
    coalesce(
        refunds_give_back,
        (
            select detected = 'given_back' from refresh.findings
            where convention = 'refund_redemptions' and is_decided
        ),
        true
    ) as refunds_give_back,
    coalesce(
        negative_is_refund,
        (
            select detected = 'refund' from refresh.findings
            where convention = 'negative_amounts' and is_decided
        ),
        true
    ) as negative_is_refund
from mart.parameters;
comment on view refresh.rules is 'what the marts take rows for: set by mart.parameters, else detected, else the default. Grain: one row';

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on refresh.findings to lcm_loader;
        grant select on refresh.rules to lcm_loader;
    end if;
end;
$$;
