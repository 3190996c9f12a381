-- purpose: the twelve numbers of a client, a row only on a day they changed
-- parameters: run_id, last (last day of the window)
-- The numbers are of the time of reading: where a later day is known, they belong to that day.
with newest as (
    select distinct on (stored.client_id) stored.*
    from core.favourite_stats as stored
    inner join incoming_favourite_stats as incoming on incoming.client_id = stored.client_id
    where stored.deleted_at is null
    order by stored.client_id asc, stored.snapshot_date desc
)

insert into core.favourite_stats as stored (
    snapshot_date, client_id, max_link_goods, now_link_goods, remain_link_goods,
    remain_count_purchases, remain_gain, remain_every_gain, count_offer, count_confirm,
    count_purchases, sum_gain, avg_favourite, avg_all, extra, sync_run_id, first_seen_at, synced_at
)
select
    greatest(%(last)s::date, newest.snapshot_date), incoming.client_id, incoming.max_link_goods,
    incoming.now_link_goods, incoming.remain_link_goods, incoming.remain_count_purchases,
    incoming.remain_gain, incoming.remain_every_gain, incoming.count_offer, incoming.count_confirm,
    incoming.count_purchases, incoming.sum_gain, incoming.avg_favourite, incoming.avg_all,
    incoming.extra, %(run_id)s, now(), now()
from incoming_favourite_stats as incoming
left join newest on newest.client_id = incoming.client_id
where
    newest.client_id is null
    or (
        newest.max_link_goods, newest.now_link_goods, newest.remain_link_goods,
        newest.remain_count_purchases, newest.remain_gain, newest.remain_every_gain,
        newest.count_offer, newest.count_confirm, newest.count_purchases, newest.sum_gain,
        newest.avg_favourite, newest.avg_all, newest.extra
    ) is distinct from (
        incoming.max_link_goods, incoming.now_link_goods, incoming.remain_link_goods,
        incoming.remain_count_purchases, incoming.remain_gain, incoming.remain_every_gain,
        incoming.count_offer, incoming.count_confirm, incoming.count_purchases, incoming.sum_gain,
        incoming.avg_favourite, incoming.avg_all, incoming.extra
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
