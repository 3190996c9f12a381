-- purpose: whether refunds that state no points give back what their purchase had redeemed

alter table mart.parameters add column silent_refunds_give_back boolean;
comment on column mart.parameters.silent_refunds_give_back is 'a refund that states no points gives back its share of the points that the purchase had redeemed; false: it gives none back; null: as the rows show, see mart.conventions';

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
    ) as refunds_state_points,
    -- Null while neither set nor decided: of each client as its lots show.
    coalesce(
        silent_refunds_give_back,
        (
            select detected = 'given_back' from refresh.findings
            where convention = 'silent_refunds' and is_decided
        )
    ) as silent_refunds_give_back
from mart.parameters;
