-- question: what was bought and given back, each cheque once?
-- grain: cheque, with the client for whom it counts
-- formula: of the live rows that name a cheque (the cheque itself, its bonuses, perhaps an order),
--   one row stands for it: no bonus if possible, with the cheque's own number, with an amount, the
--   earliest. A cheque counts once over all clients: where rows of several name it, for the one
--   with the cheque itself, newest first seen. A bonus for the purchase of somebody else
--   (friend_bonus_source) names a cheque of theirs and makes none. A cheque is a refund when
--   is_refund is true, and when its amount is negative (then it is doubtful; not where
--   mart.conventions takes it for a purchase); null counts as no refund. Signs follow that,
--   whatever was sent: net_amount is the amount of a purchase, and minus the absolute amount of a
--   refund; redeemed is positive on a purchase, and negative on a refund, which gave points back;
--   added is positive on a purchase, and negative on a refund, which took points back. Where the
--   cheque itself states no points, its bonuses do. A refund without a parent is taken for that of
--   the newest purchase before it of the same amount. All loaded rows are here, those of a day
--   that has not ended too, but none of an implausible day: see mart.first_plausible_day().
-- Sorted, not compared with each other: a client may have a hundred thousand rows.
create view refresh.cheques as
with claims as (
    select
        operations.*,
        coalesce(operations.bonus_id, 0) <> 0 as is_bonus,
        coalesce(operations.bonus_id, 0) <> 0
        and not coalesce(operations.bonus_source = rules.burnt_bonus_source, false)
            as is_telling,
        rules.negative_is_refund,
        rules.refunds_give_back,
        rules.bonus_redemptions_count,
        rules.cheque_points_count
    from refresh.scope_operations as operations
    cross join mart.parameters
    cross join refresh.rules
    where
        operations.cheque_id <> 0
        and operations.deleted_at is null
        and operations.operation_date
        between mart.first_plausible_day() and mart.last_plausible_day()
        and operations.bonus_source is distinct from parameters.friend_bonus_source
),

tellers as (
    select distinct on (claims.client_id, claims.cheque_id)
        claims.operation_date,
        claims.client_id,
        claims.cheque_id,
        claims.component_type,
        claims.operation_id,
        claims.processed_at,
        claims.pos_id,
        claims.partner_name,
        claims.is_bonus,
        claims.is_refund is true
        or (coalesce(claims.amount, 0) < 0 and claims.negative_is_refund) as is_refund,
        claims.is_refund is not true and coalesce(claims.amount, 0) < 0 as is_doubtful,
        claims.amount,
        case when claims.is_bonus then 0 else coalesce(claims.redeemed, 0) end as redeemed,
        case when claims.is_bonus then 0 else coalesce(claims.added, 0) end as added,
        claims.discount,
        claims.certificate_redeemed,
        claims.coupon_number,
        claims.parent_id,
        claims.first_seen_at,
        claims.refunds_give_back,
        claims.cheque_points_count,
        sum(claims.redeemed) filter (
            where
            claims.is_telling
            and coalesce(claims.added, 0) <= 0
            and claims.bonus_redemptions_count
        ) over cheque_rows as redeemed_by_bonuses,
        sum(claims.added) filter (
            where claims.is_telling and claims.added > 0 and claims.is_refund is not true
        ) over cheque_rows as given_by_bonuses,
        sum(abs(claims.added)) filter (
            where claims.is_telling and (claims.added < 0 or claims.is_refund)
        ) over cheque_rows as taken_by_bonuses
    from claims
    window cheque_rows as (partition by claims.client_id, claims.cheque_id)
    order by
        claims.client_id asc,
        claims.cheque_id asc,
        claims.is_bonus asc,
        (claims.operation_id <> claims.cheque_id) asc,
        (claims.amount is null) asc,
        claims.operation_date asc,
        claims.component_type asc,
        claims.operation_id asc
),

-- For which of several clients a cheque counts.
winners as (
    select distinct on (shared.cheque_id)
        shared.cheque_id,
        shared.client_id
    from (
        select distinct shared_cheques.cheque_id
        from refresh.scope
        inner join refresh.shared_cheques on shared_cheques.client_id = scope.client_id
    ) as ours
    inner join refresh.shared_cheques as shared on shared.cheque_id = ours.cheque_id
    inner join core.operations
        on
            operations.client_id = shared.client_id
            and operations.cheque_id = shared.cheque_id
    cross join mart.parameters
    where
        operations.deleted_at is null
        and operations.operation_date
        between mart.first_plausible_day() and mart.last_plausible_day()
        and operations.bonus_source is distinct from parameters.friend_bonus_source
    order by
        shared.cheque_id asc,
        (coalesce(operations.bonus_id, 0) <> 0) asc,
        (operations.operation_id <> operations.cheque_id) asc,
        operations.first_seen_at desc,
        shared.client_id asc
),

counted as (
    select
        tellers.*,
        case
            when tellers.redeemed <> 0 then tellers.redeemed
            else coalesce(tellers.redeemed_by_bonuses, 0)
        end as told_redeemed,
        case
            when tellers.added <> 0 then abs(tellers.added)
            when tellers.is_refund then coalesce(tellers.taken_by_bonuses, 0)
            else coalesce(tellers.given_by_bonuses, 0)
        end as told_added,
        count(*) filter (where not tellers.is_refund) over (
            partition by tellers.client_id, abs(coalesce(tellers.amount, 0))
            order by tellers.processed_at asc, tellers.is_refund asc, tellers.cheque_id asc
        ) as purchases_before
    from tellers
    left join winners on winners.cheque_id = tellers.cheque_id
    where winners.client_id is null or winners.client_id = tellers.client_id
)

select
    operation_date as day,
    client_id,
    cheque_id,
    processed_at,
    pos_id,
    mart.display_text(partner_name) as partner_name,
    is_refund,
    coalesce(amount, 0)::numeric(19, 2) as amount,
    case
        when is_refund then -abs(coalesce(amount, 0))
        else coalesce(amount, 0)
    end::numeric(19, 2) as net_amount,
    case
        when not is_refund then told_redeemed
        when refunds_give_back then -abs(told_redeemed)
        else 0
    end::numeric(19, 2) as redeemed,
    coalesce(discount, 0)::numeric(19, 2) as discount,
    coalesce(certificate_redeemed, 0)::numeric(19, 2) as certificate_redeemed,
    coalesce(coupon_number, '') <> '' as has_coupon,
    coalesce(
        parent_id,
        case
            when is_refund and purchases_before > 0 and amount <> 0
                then first_value(cheque_id) over (
                    partition by client_id, abs(coalesce(amount, 0)), purchases_before
                    order by is_refund asc, processed_at asc, cheque_id asc
                )
        end
    ) as parent_id,
    case when is_refund then -told_added else told_added end::numeric(19, 2) as added,
    not is_refund
    and not is_bonus
    and added > 0
    and coalesce(given_by_bonuses, 0) = 0
    and cheque_points_count as is_only_teller,
    is_doubtful,
    component_type,
    operation_id,
    first_seen_at
from counted;

create table mart.cheques as table refresh.cheques with no data;
create index on mart.cheques (client_id);
create index on mart.cheques (day);
create index on mart.cheques (cheque_id);
create index on mart.cheques (client_id) where is_only_teller;

comment on table mart.cheques is 'purchases and refunds, each cheque once however many rows and clients name it. Grain: cheque';
comment on column mart.cheques.day is 'business day';
comment on column mart.cheques.client_id is 'the client for whom it counts';
comment on column mart.cheques.cheque_id is 'the cheque';
comment on column mart.cheques.processed_at is 'time of processing';
comment on column mart.cheques.pos_id is 'point of sale; null when unknown';
comment on column mart.cheques.partner_name is 'partner, as mart.display_text shows it; null or empty when unknown';
comment on column mart.cheques.is_refund is 'a refund: the source says so, or the amount is negative';
comment on column mart.cheques.amount is 'amount as sent; 0 when missing';
comment on column mart.cheques.net_amount is 'amount of a purchase; minus the absolute amount of a refund';
comment on column mart.cheques.redeemed is 'points redeemed; negative on a refund: points that it gave back';
comment on column mart.cheques.discount is 'discount in money';
comment on column mart.cheques.certificate_redeemed is 'paid by gift certificate';
comment on column mart.cheques.has_coupon is 'a coupon was used';
comment on column mart.cheques.parent_id is 'cheque that a refund gives back, as far as known: the one it names, or the newest purchase before it of the same amount';
comment on column mart.cheques.added is 'points given for it; negative on a refund: points that it took back';
comment on column mart.cheques.is_only_teller is 'no bonus row states the points that were given: the cheque itself is the lot';
comment on column mart.cheques.is_doubtful is 'its amount is negative, though the source does not call it a refund; taken for one while negative_is_refund is on';
comment on column mart.cheques.component_type is 'kind of operation of its row; part of the key';
comment on column mart.cheques.operation_id is 'number of that row';
comment on column mart.cheques.first_seen_at is 'when that row was first published';
