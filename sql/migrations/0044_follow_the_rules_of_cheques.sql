-- purpose: cheques of core_live by the rules of mart.cheques: bonuses of friends, and negative amounts

-- As in 0020, and: a bonus for the purchase of somebody else makes no cheque, and whether a negative
-- amount without the flag is a refund is what mart.conventions says.
create or replace view core_live.cheques as
select distinct on (operations.cheque_id)
    operations.cheque_id,
    operations.client_id,
    operations.operation_date,
    operations.processed_at,
    operations.operation_id,
    operations.component_type,
    operations.cheque_number,
    operations.order_id,
    operations.parent_id,
    operations.pos_id,
    operations.partner_name,
    weighed.is_refund,
    coalesce(operations.amount, 0)::numeric(19, 2) as amount,
    case
        when weighed.is_refund then -abs(coalesce(operations.amount, 0))
        else coalesce(operations.amount, 0)
    end::numeric(19, 2) as net_amount,
    coalesce(operations.redeemed, 0)::numeric(19, 2) as redeemed,
    coalesce(operations.discount, 0)::numeric(19, 2) as discount,
    coalesce(operations.certificate_redeemed, 0)::numeric(19, 2) as certificate_redeemed,
    operations.coupon_number,
    operations.first_seen_at,
    operations.synced_at
from core_live.operations
cross join mart.parameters
cross join refresh.rules
cross join lateral (
    select
        operations.is_refund is true
        or (coalesce(operations.amount, 0) < 0 and rules.negative_is_refund) as is_refund
) as weighed
where
    operations.cheque_id <> 0
    and operations.bonus_source is distinct from parameters.friend_bonus_source
order by
    operations.cheque_id asc,
    (coalesce(operations.bonus_id, 0) <> 0) asc,
    (operations.operation_id <> operations.cheque_id) asc,
    (operations.amount is null) asc,
    operations.first_seen_at desc,
    operations.operation_date asc,
    operations.component_type asc,
    operations.client_id asc,
    operations.operation_id asc;
comment on column core_live.cheques.is_refund is 'the source marks it as a refund; also a negative amount without the mark, where mart.conventions takes that for a refund';
