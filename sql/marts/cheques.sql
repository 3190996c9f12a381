-- question: what was bought and given back, each cheque once?
-- grain: client x cheque
-- formula: of the live rows that name a cheque (the cheque itself, its bonuses, perhaps an order),
--   one tells it: no bonus if possible, with the cheque's own number, with an amount, the earliest.
--   A cheque is a refund only when is_refund is true; null counts as no refund. net_amount is the
--   amount of a purchase, and minus the absolute amount of a refund, whatever its sign. All loaded
--   rows are here, those of a day that has not ended too, but none of an implausible day: see
--   mart.first_plausible_day().
-- Sorted, not compared with each other: a client may have a hundred thousand rows.
create view refresh.cheques as
with tellers as (
    select distinct on (operations.client_id, operations.cheque_id)
        operations.operation_date,
        operations.client_id,
        operations.cheque_id,
        operations.processed_at,
        operations.pos_id,
        operations.partner_name,
        operations.is_refund,
        operations.amount,
        operations.redeemed,
        operations.discount,
        operations.certificate_redeemed,
        operations.coupon_number,
        operations.parent_id
    from refresh.scope
    inner join core.operations on operations.client_id = scope.client_id
    where
        operations.cheque_id <> 0
        and operations.deleted_at is null
        and operations.operation_date
        between mart.first_plausible_day() and mart.last_plausible_day()
    order by
        operations.client_id asc,
        operations.cheque_id asc,
        (coalesce(operations.bonus_id, 0) <> 0) asc,
        (operations.operation_id <> operations.cheque_id) asc,
        (operations.amount is null) asc,
        operations.operation_date asc,
        operations.component_type asc,
        operations.operation_id asc
)

select
    operation_date as day,
    client_id,
    cheque_id,
    processed_at,
    pos_id,
    mart.display_text(partner_name) as partner_name,
    coalesce(is_refund, false) as is_refund,
    coalesce(amount, 0) as amount,
    case
        when is_refund then -abs(coalesce(amount, 0))
        else coalesce(amount, 0)
    end as net_amount,
    coalesce(redeemed, 0) as redeemed,
    coalesce(discount, 0) as discount,
    coalesce(certificate_redeemed, 0) as certificate_redeemed,
    coalesce(coupon_number, '') <> '' as has_coupon,
    parent_id
from tellers;

create table mart.cheques as table refresh.cheques with no data;
create index on mart.cheques (client_id);
create index on mart.cheques (day);

comment on table mart.cheques is 'purchases and refunds, each cheque once however many rows name it. Grain: client, cheque';
comment on column mart.cheques.day is 'business day';
comment on column mart.cheques.client_id is 'the client';
comment on column mart.cheques.cheque_id is 'the cheque';
comment on column mart.cheques.processed_at is 'time of processing';
comment on column mart.cheques.pos_id is 'point of sale; null when not told';
comment on column mart.cheques.partner_name is 'partner, as mart.display_text shows it; null or empty when not told';
comment on column mart.cheques.is_refund is 'a refund; false where the source does not tell';
comment on column mart.cheques.amount is 'amount as sent; 0 when not told';
comment on column mart.cheques.net_amount is 'amount of a purchase; minus the absolute amount of a refund';
comment on column mart.cheques.redeemed is 'points redeemed';
comment on column mart.cheques.discount is 'discount in money';
comment on column mart.cheques.certificate_redeemed is 'paid by gift certificate';
comment on column mart.cheques.has_coupon is 'a coupon was used';
comment on column mart.cheques.parent_id is 'cheque that a refund gives back, as far as known';
