-- refresh.*: what an incremental refresh of the marts computes again

-- name: record_changed_clients
-- purpose: record the clients whose operations a publish changed, for marts stored by client
-- A vanished row counts differently once another client has it, or has it no longer. So the client
-- that it vanished from is recorded too.
with moved as (
    select
        component_type,
        operation_id,
        client_id
    from changed_operations
    where is_new or was_deleted
    union all
    select
        component_type,
        operation_id,
        client_id
    from gone_operations
)

insert into refresh.changed_clients (client_id)
select client_id from changed_operations
union
select client_id from gone_operations
union
select vanished.client_id
from core.operations as vanished
inner join moved
    on
        moved.component_type = vanished.component_type
        and moved.operation_id = vanished.operation_id
where vanished.deleted_at is not null and moved.client_id <> vanished.client_id;

-- name: days_passed
-- purpose: the days that passed since the tables of mart were computed, and other changes
-- is_full: the parameters have changed, or days were taken back (of a run that was removed), so all
-- clients have to be computed again.
select
    (
        horizons.parameters is distinct from present.parameters
        or coalesce(
            present.through_day < horizons.through_day,
            (present.through_day is null) <> (horizons.through_day is null)
        )
    ) as is_full,
    (
        (horizons.through_day, horizons.newest_day)
        is distinct from (present.through_day, present.newest_day)
    ) as has_days,
    least(horizons.through_day, present.through_day) as after_day,
    greatest(horizons.newest_day, present.newest_day) as last_day,
    present.through_day,
    (
        date_trunc('month', horizons.through_day + interval '1 day')
        is distinct from date_trunc('month', present.through_day + interval '1 day')
    ) as has_month_ended,
    array(
        select names.key
        from jsonb_each_text(present.names) as names
        where names.value is distinct from horizons.names ->> names.key
    ) as renamed
from refresh.present
left join refresh.horizons on true;

-- name: scope_changed_clients
-- purpose: add the clients whose operations publishes changed to the scope of a refresh
with taken as (
    delete from refresh.changed_clients returning client_id
)

insert into refresh.scope (client_id)
select distinct client_id from taken;

-- name: scope_everyone
-- purpose: add every client to the scope of a refresh
insert into refresh.scope (client_id)
select client_id from core.operations
union
select client_id from core.registrations
on conflict do nothing;

-- name: record_shared_cheques
-- purpose: record the cheques that rows of several clients name, for all clients
-- A bonus for a purchase of another client names that client's cheque, but does not share it.
with cheques as (
    select operations.cheque_id
    from core.operations
    cross join mart.parameters
    where
        operations.cheque_id <> 0
        and operations.deleted_at is null
        and operations.bonus_source is distinct from parameters.friend_bonus_source
    group by operations.cheque_id
    having min(operations.client_id) <> max(operations.client_id)
)

insert into refresh.shared_cheques (cheque_id, client_id)
select distinct
    operations.cheque_id,
    operations.client_id
from cheques
inner join core.operations on operations.cheque_id = cheques.cheque_id
cross join mart.parameters
where
    operations.deleted_at is null
    and operations.bonus_source is distinct from parameters.friend_bonus_source
on conflict do nothing;

-- name: scope_sharing_clients
-- purpose: add clients who share cheques or lots with clients in scope to the scope of a refresh
-- Checks the rows of clients in scope that are new or vanished since the last refresh: their cheques
-- may belong to another client too, and their lots may have moved to one. A margin of a day covers
-- publishes that began before that refresh and ended after it.
with changed as materialized (
    select
        operations.client_id,
        operations.component_type,
        operations.operation_id,
        operations.cheque_id,
        operations.deleted_at,
        coalesce(operations.bonus_source = parameters.friend_bonus_source, false) as is_of_friend
    from refresh.scope_operations as operations
    cross join mart.parameters
    where
        operations.synced_at > (
            select coalesce(max(marts.refreshed_at), '-infinity') - interval '1 day'
            from refresh.marts
            where marts.name = 'cheques'
        )
),

claims as (
    select distinct
        cheque_id,
        client_id
    from changed
    where cheque_id <> 0 and deleted_at is null and not is_of_friend
),

shared as (
    select
        claims.cheque_id,
        claims.client_id,
        cheques.client_id as other_client_id
    from claims
    inner join mart.cheques
        on cheques.cheque_id = claims.cheque_id and cheques.client_id <> claims.client_id
    union
    select
        claims.cheque_id,
        claims.client_id,
        others.client_id as other_client_id
    from claims
    inner join claims as others
        on others.cheque_id = claims.cheque_id and others.client_id <> claims.client_id
),

recorded as (
    insert into refresh.shared_cheques (cheque_id, client_id)
    select
        cheque_id,
        client_id
    from shared
    union
    select
        cheque_id,
        other_client_id
    from shared
    on conflict do nothing
)

insert into refresh.scope (client_id)
select other_client_id
from shared
union
select others.client_id
from refresh.scope
inner join refresh.shared_cheques as ours on ours.client_id = scope.client_id
inner join refresh.shared_cheques as others on others.cheque_id = ours.cheque_id
union
select lots.client_id
from changed
inner join mart.lots
    on
        lots.lot_id = changed.operation_id
        and lots.component_type = changed.component_type
        and lots.client_id <> changed.client_id
where changed.deleted_at is not null
on conflict do nothing;

-- name: scope_every_day
-- purpose: add every day with an operation to the scope of a refresh
-- All days from the first to the last, as no mart that lists the days may exist yet.
insert into refresh.days (day)
select series::date
from sync.row_days
cross join
    generate_series(
        row_days.first_day::timestamp,
        greatest(row_days.last_day, (select max(window_to) + 1 from sync.runs))::timestamp,
        interval '1 day'
    ) as series
where row_days.feed = 'operations'
on conflict do nothing;

-- name: scope_passed_clients
-- purpose: add clients who have to be computed again because days passed to the scope of a refresh
-- parameters: after_day, last_day, through_day (days that have come lie after the first, through the
--   second; those through the third have ended)
-- Rows that were loaded ahead of their day count by now. A lot that ended is simply gone (expire_lots),
-- unless its ledger depends on it: if it is known from a cheque only, if it was blocked, if a row of the
-- burnt source names it, or if it moved on its last day or later.
insert into refresh.scope (client_id)
select client_id
from mart.cheques
where day > %(after_day)s and day <= %(last_day)s
union
select client_id
from mart.lots
where issue_date > %(after_day)s and issue_date <= %(last_day)s
union
select lots.client_id
from mart.lots
where
    lots.expiry_date > %(after_day)s
    and lots.expiry_date <= %(through_day)s
    and (
        lots.is_told_by_cheque
        or (
            lots.remain <> 0
            and (
                lots.is_active is false
                or exists (
                    select from refresh.burnt_lots as burnt
                    where burnt.client_id = lots.client_id and burnt.lot_id = lots.lot_id
                )
                or (
                    lots.remain <> lots.added
                    and not exists (
                        select from mart.points_movements as moved
                        where
                            moved.client_id = lots.client_id
                            and moved.lot_id = lots.lot_id
                            and moved.component_type = lots.component_type
                        having
                            max(moved.movement_date) < lots.expiry_date
                            and sum(moved.points) = lots.remain
                    )
                )
            )
        )
    )
on conflict do nothing;

-- name: expire_lots
-- purpose: add the lots that ended, of clients that are not in scope, to the stored ledger
-- parameters: after_day, through_day (the lots ended after the one, through the other)
with ended as (
    insert into refresh.changed_movements (
        sign, movement_date, client_id, kind, points, bonus_source, pos_id, partner_name, lot_id,
        component_type, issue_date, expiry_date, pending_until, lots_change, price_of_point
    )
    select
        1,
        lots.expiry_date,
        lots.client_id,
        case when lots.remain > 0 then 'expired' else 'unexplained' end,
        -lots.remain,
        lots.bonus_source,
        lots.pos_id,
        lots.partner_name,
        lots.lot_id,
        lots.component_type,
        lots.issue_date,
        lots.expiry_date,
        case when lots.active_date > lots.issue_date then lots.active_date end,
        -(lots.remain > 0)::integer,
        (
            select max(moved.price_of_point)
            from mart.points_movements as moved
            where
                moved.client_id = lots.client_id
                and moved.lot_id = lots.lot_id
                and moved.component_type = lots.component_type
        )
    from mart.lots
    where
        lots.expiry_date > %(after_day)s
        and lots.expiry_date <= %(through_day)s
        and lots.remain <> 0
        and not exists (select from refresh.scope where scope.client_id = lots.client_id)
    returning *
)

insert into mart.points_movements (
    movement_date, client_id, kind, points, bonus_source, pos_id, partner_name, lot_id,
    component_type, issue_date, expiry_date, pending_until, lots_change, price_of_point
)
select
    movement_date,
    client_id,
    kind,
    points,
    bonus_source,
    pos_id,
    partner_name,
    lot_id,
    component_type,
    issue_date,
    expiry_date,
    pending_until,
    lots_change,
    price_of_point
from ended;

-- name: record_movements
-- purpose: record which rows of the ledger a refresh writes or removes
insert into refresh.changed_movements (
    sign, movement_date, client_id, kind, points, bonus_source, pos_id, partner_name, lot_id,
    component_type, cheque_id, issue_date, expiry_date, pending_until, lots_change, price_of_point
)
select
    refresh_sign,
    movement_date,
    client_id,
    kind,
    points,
    bonus_source,
    pos_id,
    partner_name,
    lot_id,
    component_type,
    cheque_id,
    issue_date,
    expiry_date,
    pending_until,
    lots_change,
    price_of_point
from differing;

-- name: record_lots
-- purpose: record which lots a refresh writes or removes
insert into refresh.changed_lots (sign, issue_date, active_date, expiry_date, added)
select
    refresh_sign,
    issue_date,
    active_date,
    expiry_date,
    added
from differing;

-- name: clear_changed_movements
-- purpose: forget which rows of the ledger changed, after all sums have followed
delete from refresh.changed_movements;

-- name: clear_changed_lots
-- purpose: forget which lots changed, after all sums have followed
delete from refresh.changed_lots;

-- name: scope_is_small
-- purpose: whether a copy of the operations in scope costs little, compared with all operations
select
    (select count(*) from refresh.scope)
    <= greatest(1000, (select reltuples / 20 from pg_class where oid = 'core.clients'::regclass))
    as is_small;

-- name: copy_operations
-- purpose: copy the operations of the clients in scope whose operations are not copied yet
insert into refresh.scoped_operations
select
    operations.operation_date,
    operations.client_id,
    operations.component_type,
    operations.operation_id,
    operations.processed_at,
    operations.bonus_id,
    operations.cheque_id,
    operations.order_id,
    operations.parent_id,
    operations.pos_id,
    operations.partner_name,
    operations.amount,
    operations.added,
    operations.redeemed,
    operations.discount,
    operations.certificate_redeemed,
    operations.remain,
    operations.is_refund,
    operations.coupon_number,
    operations.bonus_source,
    operations.is_active,
    operations.active_from,
    operations.expires_at,
    operations.first_seen_at,
    operations.synced_at,
    operations.deleted_at
from (
    select client_id from refresh.scope
    except
    select client_id from refresh.scoped_operations
) as added
inner join core.operations on operations.client_id = added.client_id;

-- name: clear_copied_operations
-- purpose: remove the copies of operations
delete from refresh.scoped_operations;

-- name: forget_horizons
-- purpose: make the next refresh compute everything, after a run that was published in batches
-- parameters: run_id
-- A refresh between two batches saw only a part of the rows, and days without a reading.
delete from refresh.horizons
using sync.runs
where runs.run_id = %(run_id)s and runs.publishing_since is not null;

-- name: forget_all_horizons
-- purpose: make the next refresh compute everything, after old months were removed
delete from refresh.horizons;

-- name: forget_passed_horizons
-- purpose: make the next refresh compute everything, if days passed since the last one
-- Tables that were just recreated show these days already, and the others do not.
delete from refresh.horizons
using refresh.present
where
    (horizons.through_day, horizons.newest_day)
    is distinct from (present.through_day, present.newest_day);

-- name: finish_refresh
-- purpose: store through which days, and with which parameters, the tables of mart were computed
insert into refresh.horizons (through_day, newest_day, parameters, names)
select
    through_day,
    newest_day,
    parameters,
    names
from refresh.present
on conflict (is_only) do update set
    through_day = excluded.through_day,
    newest_day = excluded.newest_day,
    parameters = excluded.parameters,
    names = excluded.names;

-- name: states_of_sources
-- purpose: what the marts are made of, as text; while it is the same, they are up to date
-- A row for each feed, for each table of names, and one without a source: what all marts share. Facts change
-- only with published runs. A run may be published after a newer one, which their number shows, and old
-- ones may be deleted at the same time, which the newest shows.
select
    feeds.feed as source,
    concat_ws(
        '|',
        (
            select concat(count(*), ':', max(runs.run_id))
            from sync.runs
            where
                runs.feed = feeds.feed
                and runs.status = 'published'
                and runs.rows_written + runs.rows_deleted > 0
        ),
        (
            select string_agg(readings::text, ',' order by readings.first_day)
            from mart.readings
            where readings.feed = feeds.feed
        ),
        case feeds.feed when 'operations' then as_of.operations_loaded_day end
    ) as state
from sync.feeds
cross join mart.as_of
union all
select
    'points_of_sale' as source,
    max(synced_at)::text as state
from core.points_of_sale
union all
select
    'bonus_sources' as source,
    max(synced_at)::text as state
from core.bonus_sources
union all
select
    'goods' as source,
    max(synced_at)::text as state
from core.goods
union all
select
    '' as source,
    concat_ws(
        '|',
        (select parameters from refresh.present),
        (
            select string_agg(rfm_segments::text, ',' order by priority)
            from mart.rfm_segments
        )
    ) as state;

-- name: clear_changed_clients
-- purpose: forget the clients whose operations publishes changed, when all are computed again
delete from refresh.changed_clients;

-- name: scope_has_clients
-- purpose: whether any client is in the scope of a refresh
select exists (select from refresh.scope);

-- name: clear_scope
-- purpose: remove all clients from the scope of a refresh
delete from refresh.scope;

-- name: clear_days
-- purpose: remove all days from the scope of a refresh
delete from refresh.days;

-- name: changed_days
-- purpose: take the days on which publishes changed rows, with the table of these
-- Also those of operations in scope that name a cheque and are not its own: their weight depends on the
-- cheque's own row, whatever its day.
with taken as (
    delete from refresh.changed_days returning table_name, day
)

select
    table_name,
    day
from taken
union
select
    'operations' as table_name,
    operations.operation_date as day
from refresh.scope_operations as operations
where
    operations.cheque_id <> 0
    and operations.operation_id <> operations.cheque_id
    and coalesce(operations.bonus_id, 0) = 0;

-- name: scope_changed_members
-- purpose: add clients whose membership differs in the marts by client to the scope
-- Registrations may be refreshed before or after operations, or be blocked, so both are compared.
insert into refresh.scope (client_id)
select coalesce(members.client_id, known_members.client_id)
from mart.members
full join mart.known_members on known_members.client_id = members.client_id
-- By column: rows as a whole take twice as long to compare.
where
    (
        members.client_id, members.registration_date, members.pos_id, members.is_virtual,
        members.card_type, members.cards
    )
    is distinct from (
        known_members.client_id, known_members.registration_date, known_members.pos_id,
        known_members.is_virtual, known_members.card_type, known_members.cards
    )
on conflict do nothing;

-- name: record_changed_days
-- purpose: record on which days a publish changed rows of a table, for the marts that are kept by day
-- parameters: table_name
insert into refresh.changed_days (table_name, day)
select
    %(table_name)s,
    {day}
from {changed}
union
select
    %(table_name)s,
    {day}
from {gone};

-- name: scope_passed_totals
-- purpose: add clients who may have nothing left as days passed to the scope of a refresh
-- parameters: after_day, through_day (their lots ended after the one, through the other)
insert into refresh.scope (client_id)
select lots.client_id
from mart.lots
left join mart.client_totals as totals on totals.client_id = lots.client_id
where
    lots.expiry_date > %(after_day)s
    and lots.expiry_date <= %(through_day)s
    and lots.remain <> 0
    and coalesce(totals.purchases + totals.refunds, 0) = 0
on conflict do nothing;

-- name: pass_days_of_totals
-- purpose: let days pass in the totals of clients that are not in scope
-- parameters: after_day, through_day (days that have ended lie after the one, through the other)
-- What lots add to a balance, and cheques to recent purchases, on the new day, less on the day before.
with days (day, sign) as (
    values (%(after_day)s::date, -1), (%(through_day)s::date, 1)
),

changes as (
    select
        lots.client_id,
        0 as purchases,
        0 as net_sales,
        case
            when lots.is_active is not false and lots.active_date <= days.day
                then days.sign * lots.remain
            else 0
        end as active,
        case when lots.active_date > days.day then days.sign * lots.remain else 0 end as pending,
        case
            when lots.is_active is false and lots.active_date <= days.day
                then days.sign * lots.remain
            else 0
        end as blocked,
        case
            when lots.expiry_date <= days.day + 30 then days.sign * greatest(lots.remain, 0)
            else 0
        end
            as expiring
    from mart.lots
    inner join days
        on
            lots.issue_date <= days.day
            and (lots.expiry_date is null or lots.expiry_date > days.day)
    where
        lots.remain <> 0
        and (
            (lots.active_date > %(after_day)s and lots.active_date <= %(through_day)s)
            or (lots.expiry_date > %(after_day)s and lots.expiry_date <= %(through_day)s)
            or (
                lots.expiry_date > %(after_day)s::date + 30
                and lots.expiry_date <= %(through_day)s::date + 30
            )
        )
    union all
    select
        cheques.client_id,
        -(not cheques.is_refund)::integer as purchases,
        -cheques.net_amount as net_sales,
        0 as active,
        0 as pending,
        0 as blocked,
        0 as expiring
    from mart.cheques
    cross join mart.parameters
    where
        cheques.day > %(after_day)s::date - parameters.rfm_days
        and cheques.day <= %(through_day)s::date - parameters.rfm_days
        and cheques.day <= %(after_day)s
),

summed as (
    select
        client_id,
        sum(purchases) as purchases,
        sum(net_sales) as net_sales,
        sum(active) as active,
        sum(pending) as pending,
        sum(blocked) as blocked,
        sum(expiring) as expiring
    from changes
    group by client_id
)

update mart.client_totals set
    recent_purchases = client_totals.recent_purchases + summed.purchases,
    recent_net_sales = client_totals.recent_net_sales + summed.net_sales,
    active_points = client_totals.active_points + summed.active,
    pending_points = client_totals.pending_points + summed.pending,
    blocked_points = client_totals.blocked_points + summed.blocked,
    expiring_points_30_days = client_totals.expiring_points_30_days + summed.expiring
from summed
where
    client_totals.client_id = summed.client_id
    and (
        summed.purchases <> 0
        or summed.net_sales <> 0
        or summed.active <> 0
        or summed.pending <> 0
        or summed.blocked <> 0
        or summed.expiring <> 0
    )
    and not exists (select from refresh.scope where scope.client_id = summed.client_id);

-- name: end_expiring_lots
-- purpose: remove the points that no longer expire soon, as they ended
-- parameters: through_day (the last day that has ended)
delete from mart.expiring_lots
where expiry_date <= %(through_day)s;

-- name: add_expiring_lots
-- purpose: add the points that expire soon by now, of clients that are not in scope
-- parameters: after_day, through_day (days that have ended lie after the one, through the other)
insert into mart.expiring_lots (client_id, expiry_date, points)
select
    lots.client_id,
    lots.expiry_date,
    sum(lots.remain)
from mart.lots
where
    lots.remain > 0
    and lots.issue_date <= %(through_day)s
    and lots.expiry_date > greatest(%(after_day)s::date + 90, %(through_day)s::date)
    and lots.expiry_date <= %(through_day)s::date + 90
    and not exists (select from refresh.scope where scope.client_id = lots.client_id)
group by lots.client_id, lots.expiry_date;

-- name: columns_read
-- purpose: the columns of a mart that the formula of another one reads, and whether they are days
-- parameters: reader, mart (names with their schemas)
select
    pg_attribute.attname,
    pg_attribute.atttypid = 'date'::regtype as is_date
from pg_rewrite
inner join pg_depend
    on pg_depend.classid = 'pg_rewrite'::regclass and pg_depend.objid = pg_rewrite.oid
inner join pg_attribute
    on
        pg_attribute.attrelid = pg_depend.refobjid
        and pg_attribute.attnum = pg_depend.refobjsubid
where
    pg_rewrite.ev_class = %(reader)s::regclass
    and pg_depend.refclassid = 'pg_class'::regclass
    and pg_depend.refobjid = %(mart)s::regclass
    and pg_depend.refobjsubid > 0
group by pg_attribute.attname, pg_attribute.atttypid;

-- name: clear_changed_days
-- purpose: forget on which days publishes changed rows, when everything is computed anew
delete from refresh.changed_days;

-- name: scope_days
-- purpose: add some days to the scope of a refresh
-- parameters: days
insert into refresh.days (day)
select unnest(%(days)s::date[]);

-- name: copy_scope
-- purpose: copy the clients in scope, before others are added for one mart
create temp table scope_before on commit drop as
select client_id from refresh.scope;

-- name: narrow_scope
-- purpose: remove the clients that were added to the scope for one mart
delete from refresh.scope
where client_id not in (select client_id from scope_before);

-- name: columns_of_mart
-- purpose: the columns of a mart, in order, with their types
-- parameters: mart (name with its schema)
select
    attname,
    format_type(atttypid, atttypmod) as type
from pg_attribute
where attrelid = %(mart)s::regclass and attnum > 0 and not attisdropped
order by attnum;

-- name: indexed_columns
-- purpose: the columns of a mart that have an index
-- parameters: mart (name with its schema)
select attname
from pg_attribute
where
    attrelid = %(mart)s::regclass
    and attnum = any(array(
        select unnest(indkey) from pg_index
        where indrelid = %(mart)s::regclass
    ))
order by attnum;

-- name: clear_shared_cheques
-- purpose: forget the shared cheques, before they are found again
delete from refresh.shared_cheques;
