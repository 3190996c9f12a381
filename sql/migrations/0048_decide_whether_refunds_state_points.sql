-- purpose: whether a refund that states no points took none, or took some silently

alter table refresh.findings add column silent bigint not null default 0;
comment on column refresh.findings.silent is 'refunds that state no points, of refund_points; else 0';
-- Until now, only the words had the number.
update refresh.findings
set silent = coalesce(substring(evidence from '([0-9]+) tell none')::bigint, 0)
where convention = 'refund_points';

create or replace view refresh.rules as
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
    ) as negative_is_refund,
    -- Where a third of the refunds state points or more, one that states none took none.
    coalesce(
        (
            select 2 * votes >= silent from refresh.findings
            where convention = 'refund_points' and is_decided
        ),
        false
    ) as refunds_state_points
from mart.parameters;
