-- The lots of the clients in scope, as the source reports them: bonus rows with points, and cheques whose
-- points no bonus row names. remain is null where it is not reported.
drop view if exists refresh.lot_rows cascade;
create view refresh.lot_rows as
select
    operations.client_id,
    operations.component_type,
    operations.operation_id as lot_id,
    operations.operation_date as issue_date,
    operations.processed_at as issued_at,
    operations.bonus_source,
    operations.cheque_id,
    operations.pos_id,
    mart.display_text(operations.partner_name) as partner_name,
    operations.added,
    coalesce(operations.remain, 0) as remain,
    operations.is_active,
    coalesce(operations.active_from, operations.processed_at) as active_from,
    operations.expires_at,
    false as is_told_by_cheque,
    operations.first_seen_at,
    operations.synced_at
from refresh.scope_operations as operations
cross join mart.parameters
where
    operations.added > 0
    and operations.is_refund is not true
    and operations.bonus_source is distinct from parameters.burnt_bonus_source
    and operations.deleted_at is null
    and operations.operation_date
    between mart.first_plausible_day() and mart.last_plausible_day()
    and (
        operations.bonus_id <> 0
        or (coalesce(operations.cheque_id, 0) = 0 and coalesce(operations.order_id, 0) = 0)
    )
union all
select
    operations.client_id,
    operations.component_type,
    operations.operation_id as lot_id,
    operations.operation_date as issue_date,
    operations.processed_at as issued_at,
    coalesce(operations.bonus_source, parameters.purchase_bonus_source) as bonus_source,
    operations.cheque_id,
    operations.pos_id,
    mart.display_text(operations.partner_name) as partner_name,
    operations.added,
    operations.remain,
    operations.is_active,
    coalesce(operations.active_from, operations.processed_at) as active_from,
    operations.expires_at,
    true as is_told_by_cheque,
    operations.first_seen_at,
    operations.synced_at
from refresh.scope
-- By the index of these cheques, which is small: most programmes have none.
inner join mart.cheques on cheques.client_id = scope.client_id and cheques.is_only_teller
inner join refresh.scope_operations as operations
    on
        operations.operation_date = cheques.day
        and operations.client_id = cheques.client_id
        and operations.component_type = cheques.component_type
        and operations.operation_id = cheques.operation_id
cross join mart.parameters;

-- What the ledger reads of the clients in scope, each by the index on client_id. A client may have a
-- hundred thousand rows: the planner is told of many.
create or replace function refresh.scope_lots()
returns setof refresh.lot_rows
language sql stable rows 1000 set enable_nestloop = on
as $$
select * from refresh.lot_rows;
$$;

create or replace function refresh.scope_history()
returns setof history.operations
language sql stable rows 1000 set enable_nestloop = on
as $$
select operations.*
from refresh.scope
inner join history.operations on operations.client_id = scope.client_id
where operations.added > 0 and operations.deleted_at is null;
$$;

create or replace function refresh.scope_cheques()
returns setof mart.cheques
language sql stable rows 1000 set enable_nestloop = on
as $$
select cheques.*
from refresh.scope
inner join mart.cheques on cheques.client_id = scope.client_id;
$$;

drop function if exists refresh.scope_takings cascade;
create function refresh.scope_takings()
returns setof refresh.scope_operations
language sql stable rows 1000 set enable_nestloop = on
as $$
select operations.*
from refresh.scope_operations as operations
cross join refresh.rules
where
    operations.deleted_at is null
    and operations.operation_date
    between mart.first_plausible_day() and mart.last_plausible_day()
    and (
        operations.bonus_id <> 0
        or (coalesce(operations.cheque_id, 0) = 0 and coalesce(operations.order_id, 0) = 0)
    )
    and (
        operations.bonus_source = rules.burnt_bonus_source
        or operations.added < 0
        or (operations.is_refund and operations.added <> 0)
        or (
            operations.redeemed <> 0
            and coalesce(operations.added, 0) = 0
            and rules.bonus_redemptions_count
        )
    );
$$;

drop function if exists refresh.scope_vanished cascade;
create function refresh.scope_vanished()
returns setof refresh.scope_operations
language sql stable rows 1000 set enable_nestloop = on
as $$
select gone.*
from refresh.scope_operations as gone
where
    gone.deleted_at is not null
    and gone.operation_date
    between mart.first_plausible_day() and mart.last_plausible_day()
    and (gone.added <> 0 or gone.redeemed <> 0)
    and not exists (
        select from core.operations as moved
        where
            moved.component_type = gone.component_type
            and moved.operation_id = gone.operation_id
            and moved.deleted_at is null
    );
$$;
