-- Second step: rows that take points and that no cheque speaks for, and the burns of lots among them.
create or replace function refresh.ledger_takings_alone()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
begin
    drop table if exists alone, lot_burns;
    create temp table alone on commit drop as
    select
        operations.client_id,
        operations.component_type,
        operations.operation_id,
        operations.operation_date as day,
        operations.processed_at as at,
        least(operations.first_seen_at, gone_first.first_seen_at) as seen_at,
        operations.parent_id as lot_id,
        operations.pos_id,
        mart.display_text(operations.partner_name) as partner_name,
        case
            when operations.bonus_source = chosen.burnt_bonus_source then 'expired'
            when
                operations.added <> 0
                and (operations.is_refund is true or given_back.cheque_id is not null)
                then 'clawed_back'
            when operations.added < 0 then 'corrected'
            else 'redeemed'
        end as kind,
        case
            when operations.bonus_source = chosen.burnt_bonus_source
                then greatest(
                    abs(coalesce(operations.added, 0)), abs(coalesce(operations.redeemed, 0))
                )
            when operations.added <> 0 then abs(operations.added)
            else operations.redeemed
        end as points
    from refresh.scope_takings() as operations
    cross join chosen
    left join gone_first
        on
            gone_first.component_type = operations.component_type
            and gone_first.operation_id = operations.operation_id
    left join cheques
        on
            cheques.client_id = operations.client_id
            and cheques.cheque_id = operations.cheque_id
    left join given_back
        on
            given_back.client_id = operations.client_id
            and given_back.cheque_id = operations.cheque_id
    where
        operations.bonus_source = chosen.burnt_bonus_source
        or (
            (operations.added < 0 or (operations.is_refund and operations.added <> 0))
            and cheques.is_refund is not true
        )
        or (
            operations.redeemed <> 0
            and coalesce(operations.added, 0) = 0
            and cheques.cheque_id is null
        );

    -- These have to be computed again when they end.
    insert into refresh.burnt_lots (client_id, lot_id)
    select distinct
        client_id,
        lot_id
    from alone
    where kind = 'expired' and lot_id is not null
    on conflict do nothing;

    -- Burns speak for the lot that they name, else for the lots that ended on their day or the day before.
    create temp table lot_burns on commit drop as
    select
        alone.client_id,
        lots.component_type,
        lots.lot_id,
        sum(alone.points) as points,
        max(alone.day) as day,
        max(alone.at) as at,
        max(alone.seen_at) as seen_at
    from alone
    inner join lots
        on
            lots.client_id = alone.client_id
            and lots.lot_id = alone.lot_id
            and not lots.is_told_by_cheque
    where alone.kind = 'expired' and lots.expiry_date is not null
    group by alone.client_id, lots.component_type, lots.lot_id;
end;
$$;
