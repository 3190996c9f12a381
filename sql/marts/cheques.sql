-- question: what was bought and given back, each cheque once?
-- grain: client x cheque
-- formula: of the live rows that name a cheque (the cheque itself, its bonuses, perhaps an order),
--   one tells it: no bonus if possible, with the cheque's own number, with an amount, the earliest.
--   A cheque is a refund only when is_refund is true; null counts as no refund. net_amount is the
--   amount of a purchase, and minus the absolute amount of a refund, whatever its sign. All loaded
--   rows are here, those of a day that has not ended too.
create view refresh.cheques as
select
    operations.operation_date as day,
    operations.client_id,
    operations.cheque_id,
    operations.processed_at,
    operations.pos_id,
    operations.partner_name,
    coalesce(operations.is_refund, false) as is_refund,
    coalesce(operations.amount, 0) as amount,
    case
        when operations.is_refund then -abs(coalesce(operations.amount, 0))
        else coalesce(operations.amount, 0)
    end as net_amount,
    coalesce(operations.redeemed, 0) as redeemed,
    coalesce(operations.discount, 0) as discount,
    coalesce(operations.certificate_redeemed, 0) as certificate_redeemed,
    coalesce(operations.coupon_number, '') <> '' as has_coupon,
    operations.parent_id
from refresh.scope
inner join core.operations on operations.client_id = scope.client_id
where
    operations.cheque_id <> 0
    and operations.deleted_at is null
    and not exists (
        select from core.operations as better
        where
            better.client_id = operations.client_id
            and better.cheque_id = operations.cheque_id
            and better.deleted_at is null
            and (
                coalesce(better.bonus_id, 0) <> 0,
                better.operation_id <> better.cheque_id,
                better.amount is null,
                better.operation_date,
                better.component_type,
                better.operation_id
            ) < (
                coalesce(operations.bonus_id, 0) <> 0,
                operations.operation_id <> operations.cheque_id,
                operations.amount is null,
                operations.operation_date,
                operations.component_type,
                operations.operation_id
            )
    );

create table mart.cheques as table refresh.cheques with no data;
create index on mart.cheques (client_id);
create index on mart.cheques (day);

comment on table mart.cheques is 'purchases and refunds, each cheque once however many rows name it. Grain: client, cheque';
comment on column mart.cheques.day is 'business day';
comment on column mart.cheques.client_id is 'the client';
comment on column mart.cheques.cheque_id is 'the cheque';
comment on column mart.cheques.processed_at is 'time of processing';
comment on column mart.cheques.pos_id is 'point of sale; null when not told';
comment on column mart.cheques.partner_name is 'partner; null or empty when not told';
comment on column mart.cheques.is_refund is 'a refund; false where the source does not tell';
comment on column mart.cheques.amount is 'amount as sent; 0 when not told';
comment on column mart.cheques.net_amount is 'amount of a purchase; minus the absolute amount of a refund';
comment on column mart.cheques.redeemed is 'points redeemed';
comment on column mart.cheques.discount is 'discount in money';
comment on column mart.cheques.certificate_redeemed is 'paid by gift certificate';
comment on column mart.cheques.has_coupon is 'a coupon was used';
comment on column mart.cheques.parent_id is 'cheque that a refund gives back, as far as known';
