-- refresh.findings: what the rows show of conventions that no field of the source states

-- name: rules_in_use
-- purpose: what the marts take rows for, to be compared
select rules::text as rules
from refresh.rules;

-- name: conventions_are_due
-- purpose: whether rows that came since the last refresh can decide a convention that is open
-- A convention is open while it was neither decided nor set. Its votes change with rows that speak of it
-- in the sample that detect_conventions takes, and where clients vote by their account, with any change
-- of theirs. Of a sample, few clients change in a few days, so they are counted once a week.
with sized as (
    select greatest(1, (reltuples / 2000)::integer) as step
    from pg_class
    where oid = 'core.clients'::regclass
),

open_conventions as (
    select
        conventions.convention,
        coalesce(
            sized.step > 1
            and conventions.convention
            in ('bonus_redemptions', 'refund_redemptions', 'silent_refunds')
            and findings.found_at > now() - interval '7 days',
            false
        ) as was_counted_lately
    from mart.conventions
    cross join sized
    left join refresh.findings on findings.convention = conventions.convention
    where
        not conventions.is_decided
        and conventions.source <> 'parameter'
        and conventions.convention <> 'spending_order'
),

-- Materialized: for `exists`, the planner would compare each operation with each client of the sample.
sampled as materialized (
    select
        operations.*,
        coalesce(operations.bonus_id, 0) <> 0 as is_bonus,
        operations.cheque_id <> 0
        and operations.operation_id = operations.cheque_id
        and coalesce(operations.bonus_id, 0) = 0 as is_cheque,
        coalesce(operations.bonus_source = parameters.burnt_bonus_source, false) as is_burn,
        operations.synced_at >= scope.changed_at as is_new
    from refresh.scope
    inner join refresh.scope_operations as operations on operations.client_id = scope.client_id
    cross join sized
    cross join mart.parameters
    where abs(hashint8(scope.client_id)::bigint) % sized.step = 0
)

select
    exists (
        select from open_conventions
        where
            not exists (
                select from refresh.findings
                where findings.convention = open_conventions.convention
            )
    )
    or exists (
        select from sampled
        inner join open_conventions
            on open_conventions.convention = any(array[
                case when is_new and is_cheque and added > 0 then 'cheque_points' end,
                case when is_bonus and redeemed <> 0 then 'bonus_redemptions' end,
                case when is_cheque and is_refund and redeemed <> 0 then 'refund_redemptions' end,
                case
                    when is_cheque and is_refund and coalesce(redeemed, 0) = 0 then 'silent_refunds'
                end,
                case when is_new and is_cheque and is_refund then 'refund_points' end,
                case when is_new and is_cheque and amount < 0 then 'negative_amounts' end,
                case when is_new and is_burn then 'burns' end
            ])
            and not open_conventions.was_counted_lately
    ) as are_due;

-- name: record_findings
-- purpose: store what one of the statements below found; a decided finding stays
-- parameters: found (detect_conventions or detect_spending_order)
insert into refresh.findings as known (
    convention, detected, votes, share, is_decided, evidence, silent
)
select found.*
from (
    {found}
) as found
on conflict (convention) do update set
    detected = excluded.detected,
    votes = excluded.votes,
    share = excluded.share,
    is_decided = excluded.is_decided,
    evidence = excluded.evidence,
    silent = excluded.silent,
    found_at = now()
where not known.is_decided;

-- name: detect_conventions
-- purpose: find what rows have to be taken for, from rows that speak for one reading alone
-- Of each convention, some rows (or clients) can only be right under one of its readings; these vote.
-- Three of them vote by a client's account: what all its lots have lost is exactly what its rows took, with
-- or without the rows in question (silent refunds: is more, or less, than it can be otherwise, as they may
-- have clawed points back, too); clients of whom a lot may have ended vote for nothing. Windows instead
-- of joins: a client may have a hundred thousand rows. Some thousand clients are enough; a decided
-- finding stays.
with sized as (
    select greatest(1, (reltuples / 2000)::integer) as step
    from pg_class
    where oid = 'core.clients'::regclass
),

sample as (
    select clients.client_id
    from core.clients
    cross join sized
    where abs(hashint8(clients.client_id)::bigint) % sized.step = 0
),

ended as (
    select
        coalesce(
            (
                select max(window_to)
                from sync.runs
                where feed = 'operations' and status = 'published'
            ),
            (select last_day from sync.row_days where feed = 'operations')
        ) + 1 as day
),

facts as (
    select
        operations.client_id,
        operations.operation_date,
        operations.processed_at,
        coalesce(operations.cheque_id, 0) as cheque_id,
        operations.parent_id,
        coalesce(operations.amount, 0) as amount,
        coalesce(operations.added, 0) as added,
        coalesce(operations.redeemed, 0) as redeemed,
        coalesce(operations.remain, 0) as remain,
        operations.expires_at,
        operations.is_refund is true as is_flagged,
        coalesce(operations.bonus_id, 0) <> 0 as is_bonus,
        operations.cheque_id <> 0
        and operations.operation_id = operations.cheque_id
        and coalesce(operations.bonus_id, 0) = 0 as is_cheque,
        coalesce(operations.bonus_source = parameters.burnt_bonus_source, false) as is_burn
    from sample
    inner join core.operations on operations.client_id = sample.client_id
    cross join mart.parameters
    where
        operations.deleted_at is null
        and operations.operation_date
        between mart.first_plausible_day() and mart.last_plausible_day()
),

told as (
    select
        *,
        is_bonus and added > 0 and not is_flagged and not is_burn as is_lot,
        max((is_bonus and added > 0 and not is_flagged and not is_burn)::integer) over of_cheque = 1
            as is_named,
        max((is_bonus and added > 0 and cheque_id = 0)::integer) over (
            partition by client_id, operation_date, added
        ) = 1 as has_twin,
        max(redeemed) filter (where is_cheque) over of_cheque <> 0 as is_repeated,
        max((is_cheque and not is_flagged and amount > 0)::integer) over (
            partition by client_id, abs(amount) order by processed_at
        ) = 1 as has_equal_purchase
    from facts
    window of_cheque as (partition by client_id, cheque_id)
),

-- With each refund, the cheque that it refunds.
refunded as (
    select
        *,
        max(abs(amount)) filter (where is_cheque and not is_flagged) over of_purchase
            as purchase_amount,
        max(redeemed) filter (where is_cheque and not is_flagged) over of_purchase
            as purchase_redeemed,
        sum(added) filter (where not is_flagged and (is_lot or (is_cheque and not is_named)))
            over of_purchase as purchase_added
    from told
    window of_purchase as (
        partition by client_id, case when is_flagged then parent_id else nullif(cheque_id, 0) end
    )
),

-- What refunds that state no points may have given back of their purchase, and the most that they may have
-- clawed back of what it gave.
silent as (
    select
        refunded.*,
        round(purchase_redeemed * portion.share, 2) as given_back_in_silence,
        round(purchase_added * portion.share, 2) as clawed_back_in_silence
    from refunded
    left join lateral (
        select least(1, coalesce(abs(amount) / nullif(purchase_amount, 0), 1)) as share
        where is_cheque and is_flagged and added = 0 and redeemed = 0 and purchase_redeemed > 0
    ) as portion on true
),

accounts as (
    select
        told.client_id,
        sum(told.added - told.remain) filter (where told.is_lot) as lost,
        -- No row states what remains of these.
        coalesce(
            sum(told.added) filter (
                where
                told.is_cheque and not told.is_named and not told.is_flagged and told.added > 0
            ), 0
        ) as untold,
        coalesce(
            bool_or(told.is_cheque and told.is_flagged and coalesce(told.parent_id, 0) = 0), false
        ) as has_refunds_without_parent,
        coalesce(
            sum(told.redeemed) filter (
                where told.is_cheque and not told.is_flagged and told.amount >= 0
            ), 0
        ) + coalesce(-sum(told.added) filter (where told.is_bonus and told.added < 0), 0)
        + coalesce(sum(abs(told.added)) filter (where told.is_cheque and told.is_flagged), 0)
            as taken,
        coalesce(
            sum(told.redeemed) filter (
                where
                told.is_bonus
                and told.added <= 0
                and not (told.cheque_id <> 0 and coalesce(told.is_repeated, false))
            ), 0
        ) as taken_by_bonuses,
        coalesce(
            sum(abs(told.redeemed)) filter (where told.is_cheque and told.is_flagged), 0
        ) as given_back,
        sum(told.given_back_in_silence) as given_back_in_silence,
        sum(told.clawed_back_in_silence) as clawed_back_in_silence
    from silent as told
    cross join ended
    group by told.client_id
    having
        not bool_or(
            told.is_burn
            or (
                told.is_lot
                and coalesce((told.expires_at at time zone 'UTC')::date <= ended.day, false)
            )
        )
),

counted as (
    select
        count(*) filter (where is_cheque and added > 0 and not is_flagged and amount >= 0)
            as cheques,
        count(*) filter (
            where is_cheque and added > 0 and not is_flagged and amount >= 0 and is_named
        ) as named,
        count(*) filter (
            where
            is_cheque and added > 0 and not is_flagged and amount >= 0
            and not is_named and has_twin
        ) as twins,
        count(*) filter (where is_cheque and is_flagged) as refunds,
        count(*) filter (where is_cheque and is_flagged and added > 0) as positive,
        count(*) filter (where is_cheque and is_flagged and added < 0) as negative,
        count(*) filter (where is_cheque and not is_flagged and amount < 0) as doubtful,
        count(*) filter (
            where
            is_cheque and not is_flagged and amount < 0
            and (coalesce(parent_id, 0) <> 0 or has_equal_purchase)
        ) as with_purchase,
        count(*) filter (where is_burn and (added <> 0 or redeemed <> 0)) as burns,
        count(*) filter (where is_burn and added < 0) as burns_below,
        count(*) filter (where is_burn and added > 0) as burns_above,
        count(*) filter (where is_burn and redeemed <> 0) as burns_redeemed,
        count(*) filter (where is_burn and remain > 0) as burns_holding
    from told
),

balanced as (
    select
        count(*) filter (
            where
            taken_by_bonuses <> 0
            and given_back = 0
            and lost = taken + taken_by_bonuses
        ) as with_bonuses,
        count(*) filter (
            where taken_by_bonuses <> 0 and given_back = 0 and lost = taken
        ) as without_bonuses,
        count(*) filter (
            where
            given_back <> 0
            and taken_by_bonuses = 0
            and lost = taken - given_back
        ) as with_refunds,
        count(*) filter (
            where given_back <> 0 and taken_by_bonuses = 0 and lost = taken
        ) as without_refunds,
        count(*) filter (
            where given_back_in_silence > 0 and lost + untold < taken
        ) as with_silent_refunds,
        count(*) filter (
            where
            given_back_in_silence > 0
            and not has_refunds_without_parent
            and lost > taken + taken_by_bonuses + clawed_back_in_silence - given_back_in_silence
        ) as without_silent_refunds
    from accounts
),

readings as (
    select
        each.convention,
        each.first_reading,
        each.second_reading,
        each.first_votes,
        each.votes,
        each.evidence,
        case
            when each.convention = 'refund_points'
                then counted.refunds - counted.positive - counted.negative
            else 0
        end as silent
    from counted
    cross join balanced
    cross join
        lateral (
            values
            (
                'cheque_points', 'given', 'left_out',
                counted.cheques - counted.named - counted.twins, counted.cheques - counted.named,
                'cheques with points in Added: ' || counted.cheques
                || ' (named by a bonus row: ' || counted.named
                || ', repeating a bonus row of their day that names no cheque: ' || counted.twins
                || ', alone telling of their points: '
                || (counted.cheques - counted.named - counted.twins) || ')'
            ),
            (
                'bonus_redemptions', 'redeemed', 'left_out',
                balanced.with_bonuses, balanced.with_bonuses + balanced.without_bonuses,
                'clients whose lots lost what cheques and bonus rows tell in Redeemed: '
                || balanced.with_bonuses
                || ', what cheques alone tell: ' || balanced.without_bonuses
            ),
            (
                'refund_redemptions', 'given_back', 'left_out',
                balanced.with_refunds, balanced.with_refunds + balanced.without_refunds,
                'clients whose lots have what refunds tell in Redeemed back: '
                || balanced.with_refunds
                || ', whose lots have not: ' || balanced.without_refunds
            ),
            (
                'silent_refunds', 'given_back', 'kept',
                balanced.with_silent_refunds,
                balanced.with_silent_refunds + balanced.without_silent_refunds,
                'clients whose rows took more than their lots can have lost, unless refunds that'
                || ' state no points gave some back: ' || balanced.with_silent_refunds
                || ', whose lots lost more than if they had: ' || balanced.without_silent_refunds
            ),
            (
                'refund_points', 'clawed_back', null,
                counted.positive + counted.negative, counted.positive + counted.negative,
                'refunds: ' || counted.refunds
                || ' (telling points with a positive sign: ' || counted.positive
                || ', with a negative sign: ' || counted.negative
                || ', both read as claw-back; telling none: '
                || (counted.refunds - counted.positive - counted.negative) || ')'
            ),
            (
                'negative_amounts', 'refund', 'purchase',
                counted.with_purchase, counted.doubtful,
                'cheques with a negative amount and no refund flag: ' || counted.doubtful
                || ' (naming the cheque that they give back, or repeating the amount of an earlier'
                || ' one: ' || counted.with_purchase || ')'
            ),
            (
                'burns', 'expired', 'given',
                counted.burns - counted.burns_holding, counted.burns,
                'rows of the burnt source: ' || counted.burns
                || ' (negative points in Added: ' || counted.burns_below
                || ', positive ones: ' || counted.burns_above
                || ', points in Redeemed: ' || counted.burns_redeemed
                || ', holding points, as lots do: ' || counted.burns_holding || ')'
            )
        ) as each (convention, first_reading, second_reading, first_votes, votes, evidence)
)

select
    convention,
    case
        when votes = 0 then null
        when 2 * first_votes >= votes then first_reading
        else second_reading
    end,
    votes,
    round(greatest(first_votes, votes - first_votes)::numeric / nullif(votes, 0), 4),
    votes >= 20 and greatest(first_votes, votes - first_votes) >= 0.8 * votes,
    evidence,
    silent
from readings;

-- name: decided_spending_order
-- purpose: the spending order that is set or was detected; no row while the data has to be looked at
select coalesce(nullif(parameters.spending_order, 'detected'), findings.detected)
from mart.parameters
left join refresh.findings
    on findings.convention = 'spending_order' and findings.is_decided
where parameters.spending_order <> 'detected' or findings.is_decided;

-- name: spending_order_is_due
-- purpose: whether to look again in which order lots are redeemed
-- Where many pairs of lots contradict each other, the rows of a few days decide nothing.
select
    not exists (
        select from refresh.findings
        where
            convention = 'spending_order'
            and votes >= 1000
            and found_at > now() - interval '7 days'
    ) as is_due;

-- name: detect_spending_order
-- purpose: find which lots are redeemed first, from what the readings saw of them
-- A lot that has lost points while another one could be used all the time and still holds some comes
-- before that one. Each such pair speaks for the orders that it fits, where it can tell them apart.
-- A sample of clients is enough; a decided finding stays.
with sample as (
    select client_id
    from core.clients
    order by md5(client_id::text)
    limit 5000
),

lots as (
    select
        operations.client_id,
        operations.processed_at as issued_at,
        coalesce(operations.expires_at, 'infinity') as expires_at,
        greatest(operations.active_from, operations.processed_at) as starts_at,
        operations.added,
        operations.remain,
        operations.is_active is not false as is_active
    from sample
    inner join core.operations on operations.client_id = sample.client_id
    cross join mart.parameters
    cross join mart.as_of
    where
        operations.bonus_id <> 0
        and operations.added > 0
        and operations.remain is not null
        and operations.is_refund is not true
        and operations.bonus_source is distinct from parameters.burnt_bonus_source
        and operations.deleted_at is null
        and (
            operations.expires_at is null
            or (operations.expires_at at time zone parameters.timezone)::date
            > as_of.operations_day + 1
        )
        and not exists (
            select from mart.cheques as refunds
            where
                refunds.client_id = operations.client_id
                and refunds.is_refund
                and (refunds.parent_id is null or refunds.parent_id = operations.cheque_id)
        )
),

spent as (
    select
        cheques.client_id,
        min(cheques.processed_at) as first_at
    from sample
    inner join mart.cheques on cheques.client_id = sample.client_id
    where cheques.redeemed > 0
    group by cheques.client_id
),

few as (
    select lots.client_id
    from lots
    inner join spent on spent.client_id = lots.client_id
    group by lots.client_id
    having count(*) between 2 and 50
),

pairs as (
    select
        touched.issued_at < spared.issued_at as is_oldest_first,
        touched.issued_at > spared.issued_at as is_newest_first,
        (touched.expires_at, touched.issued_at) < (spared.expires_at, spared.issued_at)
            as is_soonest_first
    from few
    inner join spent on spent.client_id = few.client_id
    inner join lots as touched on touched.client_id = few.client_id
    inner join lots as spared on spared.client_id = few.client_id
    where
        touched.remain < touched.added
        and spared.remain > 0
        and spared.is_active
        and spared.starts_at < spent.first_at
        and touched.issued_at <> spared.issued_at
),

orders as (
    select
        found.finding,
        found.rank,
        found.fitting,
        counted.soonest,
        counted.votes
    from (
        select
            count(*) as votes,
            count(*) filter (where is_soonest_first) as soonest,
            count(*) filter (where is_oldest_first) as oldest,
            count(*) filter (where is_newest_first) as newest
        from pairs
    ) as counted
    cross join lateral (
        values
        (1, 'soonest_to_expire', counted.soonest),
        (2, 'oldest_first', counted.oldest),
        (3, 'newest_first', counted.newest)
    ) as found (rank, finding, fitting)
    order by found.fitting desc, found.rank
    limit 1
)

select
    'spending_order',
    case when votes > 0 then finding end,
    votes,
    round(fitting::numeric / nullif(votes, 0), 4),
    votes >= 20 and fitting >= 0.8 * votes and (rank = 1 or fitting >= 1.1 * soonest),
    case
        when votes > 0
            then 'pairs of lots that fit ' || finding || ': ' || fitting || ' of ' || votes
        else 'no pair of lots shows in which order they are redeemed'
    end,
    0
from orders;
