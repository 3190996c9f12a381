-- purpose: the twelve numbers of a client, a row only on a day they changed
-- parameters: run_id, last (last day of the window)
-- The numbers are of the time of reading: where a later day is known, they belong to that day. A
-- number that the answer did not tell stays as it is known.
with newest as (
    select distinct on (stored.client_id) stored.*
    from core.favourite_stats as stored
    inner join incoming_favourite_stats as incoming on incoming.client_id = stored.client_id
    where stored.deleted_at is null
    order by stored.client_id asc, stored.snapshot_date desc
),

merged as (
    select
        incoming.client_id,
        greatest(%(last)s::date, newest.snapshot_date) as snapshot_date,
        case
            when 'max_link_goods' = any(incoming.told)
                then incoming.max_link_goods
            else newest.max_link_goods
        end as max_link_goods,
        case
            when 'now_link_goods' = any(incoming.told)
                then incoming.now_link_goods
            else newest.now_link_goods
        end as now_link_goods,
        case
            when 'remain_link_goods' = any(incoming.told)
                then incoming.remain_link_goods
            else newest.remain_link_goods
        end as remain_link_goods,
        case
            when 'remain_count_purchases' = any(incoming.told)
                then incoming.remain_count_purchases
            else newest.remain_count_purchases
        end as remain_count_purchases,
        case
            when 'remain_gain' = any(incoming.told)
                then incoming.remain_gain
            else newest.remain_gain
        end as remain_gain,
        case
            when 'remain_every_gain' = any(incoming.told)
                then incoming.remain_every_gain
            else newest.remain_every_gain
        end as remain_every_gain,
        case
            when 'count_offer' = any(incoming.told)
                then incoming.count_offer
            else newest.count_offer
        end as count_offer,
        case
            when 'count_confirm' = any(incoming.told)
                then incoming.count_confirm
            else newest.count_confirm
        end as count_confirm,
        case
            when 'count_purchases' = any(incoming.told)
                then incoming.count_purchases
            else newest.count_purchases
        end as count_purchases,
        case
            when 'sum_gain' = any(incoming.told)
                then incoming.sum_gain
            else newest.sum_gain
        end as sum_gain,
        case
            when 'avg_favourite' = any(incoming.told)
                then incoming.avg_favourite
            else newest.avg_favourite
        end as avg_favourite,
        case
            when 'avg_all' = any(incoming.told)
                then incoming.avg_all
            else newest.avg_all
        end as avg_all,
        incoming.extra
    from incoming_favourite_stats as incoming
    left join newest on newest.client_id = incoming.client_id
    where cardinality(incoming.told) > 0
)

insert into core.favourite_stats as stored (
    snapshot_date, client_id, max_link_goods, now_link_goods, remain_link_goods,
    remain_count_purchases, remain_gain, remain_every_gain, count_offer, count_confirm,
    count_purchases, sum_gain, avg_favourite, avg_all, extra, sync_run_id, first_seen_at, synced_at
)
select
    merged.snapshot_date, merged.client_id, merged.max_link_goods, merged.now_link_goods,
    merged.remain_link_goods, merged.remain_count_purchases, merged.remain_gain,
    merged.remain_every_gain, merged.count_offer, merged.count_confirm, merged.count_purchases,
    merged.sum_gain, merged.avg_favourite, merged.avg_all, merged.extra, %(run_id)s, now(), now()
from merged
left join newest on newest.client_id = merged.client_id
where
    newest.client_id is null
    or (
        newest.max_link_goods, newest.now_link_goods, newest.remain_link_goods,
        newest.remain_count_purchases, newest.remain_gain, newest.remain_every_gain,
        newest.count_offer, newest.count_confirm, newest.count_purchases, newest.sum_gain,
        newest.avg_favourite, newest.avg_all, newest.extra
    ) is distinct from (
        merged.max_link_goods, merged.now_link_goods, merged.remain_link_goods,
        merged.remain_count_purchases, merged.remain_gain, merged.remain_every_gain,
        merged.count_offer, merged.count_confirm, merged.count_purchases, merged.sum_gain,
        merged.avg_favourite, merged.avg_all, merged.extra
    )
on conflict (snapshot_date, client_id) do update set
    max_link_goods = excluded.max_link_goods,
    now_link_goods = excluded.now_link_goods,
    remain_link_goods = excluded.remain_link_goods,
    remain_count_purchases = excluded.remain_count_purchases,
    remain_gain = excluded.remain_gain,
    remain_every_gain = excluded.remain_every_gain,
    count_offer = excluded.count_offer,
    count_confirm = excluded.count_confirm,
    count_purchases = excluded.count_purchases,
    sum_gain = excluded.sum_gain,
    avg_favourite = excluded.avg_favourite,
    avg_all = excluded.avg_all,
    extra = excluded.extra,
    sync_run_id = excluded.sync_run_id,
    synced_at = excluded.synced_at;
