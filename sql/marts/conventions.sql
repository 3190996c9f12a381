-- question: what are rows taken for where no field of the source says, and why?
-- grain: convention
-- formula: used is what mart.parameters sets (source parameter), else what the rows show (detected), else
--   the default. The rows show it once 20 of them speak and four in five agree (is_decided); until then,
--   and until its row in refresh.findings is deleted after, detected is what fits best so far. votes and
--   evidence are counts: of up to some thousand clients in a programme that has more.
create or replace view mart.conventions as
with known (place, convention, parameter, set_to, fallback) as (
    select
        each.place,
        each.convention,
        each.parameter,
        each.set_to,
        each.fallback
    from mart.parameters
    cross join
        lateral (
            values
            (
                1, 'cheque_points', 'cheque_points_count',
                case parameters.cheque_points_count
                    when true then 'given' when false then 'left_out'
                end,
                'given'
            ),
            (
                2, 'bonus_redemptions', 'bonus_redemptions_count',
                case parameters.bonus_redemptions_count
                    when true then 'redeemed' when false then 'left_out'
                end,
                'redeemed'
            ),
            (
                3, 'refund_redemptions', 'refunds_give_back',
                case parameters.refunds_give_back
                    when true then 'given_back' when false then 'left_out'
                end,
                'given_back'
            ),
            (
                4, 'silent_refunds', 'silent_refunds_give_back',
                case parameters.silent_refunds_give_back
                    when true then 'given_back' when false then 'kept'
                end,
                'as_lots_show'
            ),
            (5, 'refund_points', null, null, 'clawed_back'),
            (
                6, 'negative_amounts', 'negative_is_refund',
                case parameters.negative_is_refund
                    when true then 'refund' when false then 'purchase'
                end,
                'refund'
            ),
            (7, 'burns', 'burnt_bonus_source', null, 'expired'),
            (
                8, 'spending_order', 'spending_order',
                nullif(parameters.spending_order, 'detected'), 'soonest_to_expire'
            )
        ) as each (place, convention, parameter, set_to, fallback)
)

select
    known.convention,
    findings.detected,
    coalesce(findings.votes, 0) as votes,
    findings.share,
    coalesce(findings.is_decided, false) as is_decided,
    findings.evidence,
    taken.used,
    case
        when known.set_to is not null then 'parameter'
        when
            findings.is_decided
            and (
                known.convention not in ('refund_points', 'burns')
                or findings.detected = known.fallback
            )
            then 'detected'
        else 'default'
    end as source,
    known.parameter,
    findings.found_at,
    case
        when findings.is_decided and findings.detected <> taken.used then 'contradicted'
        when not findings.is_decided and findings.votes > 0 and known.set_to is null
            then 'undecided'
    end as doubt
from known
left join refresh.findings on findings.convention = known.convention
cross join lateral (
    select
        case
            when known.set_to is not null then known.set_to
            -- No rule takes these otherwise: a check warns where rows speak against it.
            when known.convention in ('refund_points', 'burns') then known.fallback
            when findings.is_decided then findings.detected
            else known.fallback
        end as used
) as taken
order by known.place;

comment on view mart.conventions is 'what rows are taken for where no field of the source says, and why. Grain: convention';
comment on column mart.conventions.convention is 'cheque_points, bonus_redemptions, refund_redemptions, silent_refunds, refund_points, negative_amounts, burns or spending_order';
comment on column mart.conventions.detected is 'what fits the rows best; null where they show nothing';
comment on column mart.conventions.votes is 'rows, clients or pairs of lots that speak of it';
comment on column mart.conventions.share is 'share of these that agree with detected';
comment on column mart.conventions.is_decided is 'the rows show it: there are enough votes, and enough of them agree';
comment on column mart.conventions.evidence is 'the counts, in words';
comment on column mart.conventions.used is 'what the marts take rows for';
comment on column mart.conventions.source is 'why: parameter, detected or default';
comment on column mart.conventions.parameter is 'column of mart.parameters that sets it; null where none does';
comment on column mart.conventions.found_at is 'when the rows were looked at';
comment on column mart.conventions.doubt is 'contradicted: the rows show something else than what is used; undecided: some speak, too few or against each other; null: neither';
