-- core.favourite_*: what the general upsert does not publish

-- name: publish_favourite_stats
-- purpose: the twelve numbers of a client, with a row only for days on which they changed
-- parameters: run_id, last (last day of the window)
-- The numbers are those at the time of reading: if a later day is known, they belong to that day. A
-- number missing in the response keeps its stored value.
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
            when 'max_link_goods' = any(incoming.present)
                then incoming.max_link_goods
            else newest.max_link_goods
        end as max_link_goods,
        case
            when 'now_link_goods' = any(incoming.present)
                then incoming.now_link_goods
            else newest.now_link_goods
        end as now_link_goods,
        case
            when 'remain_link_goods' = any(incoming.present)
                then incoming.remain_link_goods
            else newest.remain_link_goods
        end as remain_link_goods,
        case
            when 'remain_count_purchases' = any(incoming.present)
                then incoming.remain_count_purchases
            else newest.remain_count_purchases
        end as remain_count_purchases,
        case
            when 'remain_gain' = any(incoming.present)
                then incoming.remain_gain
            else newest.remain_gain
        end as remain_gain,
        case
            when 'remain_every_gain' = any(incoming.present)
                then incoming.remain_every_gain
            else newest.remain_every_gain
        end as remain_every_gain,
        case
            when 'count_offer' = any(incoming.present)
                then incoming.count_offer
            else newest.count_offer
        end as count_offer,
        case
            when 'count_confirm' = any(incoming.present)
                then incoming.count_confirm
            else newest.count_confirm
        end as count_confirm,
        case
            when 'count_purchases' = any(incoming.present)
                then incoming.count_purchases
            else newest.count_purchases
        end as count_purchases,
        case
            when 'sum_gain' = any(incoming.present)
                then incoming.sum_gain
            else newest.sum_gain
        end as sum_gain,
        case
            when 'avg_favourite' = any(incoming.present)
                then incoming.avg_favourite
            else newest.avg_favourite
        end as avg_favourite,
        case
            when 'avg_all' = any(incoming.present)
                then incoming.avg_all
            else newest.avg_all
        end as avg_all,
        incoming.extra
    from incoming_favourite_stats as incoming
    left join newest on newest.client_id = incoming.client_id
    where cardinality(incoming.present) > 0
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

-- name: publish_goods
-- purpose: goods of the favourite product mechanic, named as in the newest offer that has a name
-- parameters: run_id
-- Null and empty names are ignored. Offers are read repeatedly and in any order; dating a name by its
-- offer gives the same result for every order.
with newest as (
    select
        goods.list_data_id,
        max(offers.offered_at) as named_at,
        (array_agg(goods.code order by offers.offered_at desc, goods.code desc)
            filter (where goods.code <> ''))[1] as code,
        (array_agg(goods.good_name order by offers.offered_at desc, goods.good_name desc)
            filter (where goods.good_name <> ''))[1] as good_name,
        (array_agg(goods.image_url order by offers.offered_at desc, goods.image_url desc)
            filter (where goods.image_url <> ''))[1] as image_url
    from incoming_favourite_goods as goods
    inner join incoming_favourite_offers as offers
        on offers.client_id = goods.client_id and offers.favourite_id = goods.favourite_id
    group by goods.list_data_id
),

merged as (
    select
        newest.list_data_id,
        greatest(newest.named_at, stored.named_at) as named_at,
        case when newest.named_at > stored.named_at
            then coalesce(newest.code, stored.code) else coalesce(stored.code, newest.code)
        end as code,
        case when newest.named_at > stored.named_at
            then coalesce(newest.good_name, stored.name)
            else coalesce(stored.name, newest.good_name)
        end as name,
        case when newest.named_at > stored.named_at
            then coalesce(newest.image_url, stored.image_url)
            else coalesce(stored.image_url, newest.image_url)
        end as image_url
    from newest
    left join core.goods as stored on stored.list_data_id = newest.list_data_id
)

insert into core.goods as stored
    (list_data_id, code, name, image_url, named_at, sync_run_id, first_seen_at, synced_at)
select list_data_id, code, name, image_url, named_at, %(run_id)s, now(), now()
from merged
on conflict (list_data_id) do update set
    code = excluded.code,
    name = excluded.name,
    image_url = excluded.image_url,
    named_at = excluded.named_at,
    sync_run_id = excluded.sync_run_id,
    synced_at = excluded.synced_at
where
    (stored.code, stored.name, stored.image_url, stored.named_at)
    is distinct from
    (excluded.code, excluded.name, excluded.image_url, excluded.named_at);

-- name: delete_goods_of_deleted_offers
-- purpose: delete the goods of offers that are deleted
-- parameters: run_id
update core.favourite_goods as goods
set deleted_at = now(), synced_at = now(), sync_run_id = %(run_id)s
from gone_favourite_offers as gone
where
    goods.client_id = gone.client_id
    and goods.favourite_id = gone.favourite_id
    and goods.deleted_at is null
    and not exists (
        select from core.favourite_offers as moved
        where
            moved.client_id = gone.client_id
            and moved.favourite_id = gone.favourite_id
            and moved.deleted_at is null
    );
